"""One stream in memory: messages, remembered ids, limits."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from events.bus import Expect, Published, Stored, StreamSpec, WrongLastSequence
from events.testing.clock import Clock
from events.testing.subjects import Subjects, matches


class MemoryStream:
    """A stream; `stored` is called after each message that it keeps, `removed` with the sequence of one that went."""

    def __init__(
        self, spec: StreamSpec, clock: Clock, stored: Callable[[Stored], None], removed: Callable[[int], None]
    ) -> None:
        self.spec = spec
        self.last_sequence = 0
        self._clock = clock
        self._stored = stored
        self._removed = removed
        self._epoch = datetime.now(UTC) - timedelta(seconds=clock.now())
        self._messages: dict[int, Stored] = {}
        self._subjects = Subjects()
        self._ids: dict[str, tuple[int, float]] = {}

    def publish(
        self, subject: str, data: bytes, headers: Mapping[str, str], message_id: str | None, expect: Expect | None
    ) -> Published:
        """Check the expectation, then the message id, then store."""
        if expect:
            self.check(expect)
        if message_id is not None:
            known = self.known(message_id, subject)
            if known:
                return Published(self.spec.name, known, duplicate=True)
            self.remember(message_id, subject, self.last_sequence + 1)
            headers = {**headers, "Nats-Msg-Id": message_id}
        return Published(self.spec.name, self.append(subject, data, headers))

    def check(self, expect: Expect) -> None:
        """Whether the last message on the expected subject is the expected one."""
        last = max((each.sequence for each in self.last([expect.subject])), default=0)
        if last != expect.sequence:
            raise WrongLastSequence(f"{expect.subject}: wrong last sequence: {last}")

    def known(self, message_id: str, _subject: str) -> int:
        """The sequence that was stored under this id within the window, on whatever subject; 0: none."""
        sequence, until = self._ids.get(message_id, (0, 0.0))
        return sequence if until > self._clock.now() else 0

    def remember(self, message_id: str, _subject: str, sequence: int) -> None:
        """Know this id for the duplicate window."""
        self._ids[message_id] = (sequence, self._clock.now() + self.spec.duplicate_window)

    def append(self, subject: str, data: bytes, headers: Mapping[str, str]) -> int:
        """Store a message; the oldest of its subject goes when there are too many."""
        self.last_sequence += 1
        time = self._epoch + timedelta(seconds=self._clock.now())
        message = Stored(subject, self.last_sequence, data, dict(headers), time)
        self._messages[message.sequence] = message
        same = self._subjects.of(subject)
        same.append(message.sequence)
        while self.spec.max_per_subject and len(same) > self.spec.max_per_subject:
            self.delete(same[0])
        self._stored(message)
        return message.sequence

    def messages(self, subjects: Iterable[str], start: int = 1) -> list[Stored]:
        """Messages from a sequence on, in order."""
        return list(self.following(subjects, start))

    def following(self, subjects: Iterable[str], start: int) -> Iterator[Stored]:
        """The same, one by one: no further than is asked for."""
        self._expire()
        wanted = list(subjects)
        first = next(iter(self._messages), self.last_sequence + 1)
        for sequence in range(max(first, start), self.last_sequence + 1):
            message = self._messages.get(sequence)
            if message and any(matches(pattern, message.subject) for pattern in wanted):
                yield message

    def last(self, subjects: Iterable[str]) -> list[Stored]:
        """The last message of each matching subject, in order."""
        self._expire()
        found = {same[-1] for pattern in subjects for same in self._subjects.matching(pattern)}
        return [self._messages[sequence] for sequence in sorted(found)]

    def get(self, sequence: int) -> Stored | None:
        """One message."""
        self._expire()
        return self._messages.get(sequence)

    def delete(self, sequence: int) -> None:
        """Remove one message."""
        message = self._messages.pop(sequence, None)
        if message:
            self._subjects.of(message.subject).remove(sequence)
            self._removed(sequence)

    def _expire(self) -> None:
        oldest = self._epoch + timedelta(seconds=self._clock.now() - self.spec.max_age)
        while self.spec.max_age and self._messages:
            first = next(iter(self._messages.values()))
            if first.time >= oldest:
                return
            self.delete(first.sequence)
