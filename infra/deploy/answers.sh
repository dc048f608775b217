#!/usr/bin/env bash
# Does the server of this container answer? Health checks for images with neither curl nor Python; Compose has the time
# limit. Exit 0: yes.
#
#   answers http PORT PATH      200 to a GET
#   answers worker PORT         the metrics of `tidegate run` say that each of its functions has its consumer
#   answers clamd PORT          PONG, which clamd says once its signatures are loaded
#   answers signatures DIR      ClamAV's main and daily databases are there, or what stands for them
set -euo pipefail
shopt -s inherit_errexit
exec 2>&1 # Docker keeps what a failed check said

main() {
    case $1 in
        http) get "$2" "$3" >/dev/null ;;
        worker) bound "$2" ;;
        clamd) pong "$2" ;;
        signatures) compgen -G "$2/main.*" >/dev/null && compgen -G "$2/daily.*" >/dev/null ;;
        *) echo "answers: there is no check $1" && exit 2 ;;
    esac
}

get() {
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1:%s\r\n\r\n' "$2" "$1" >&3
    local answer
    answer=$(tr -d '\0\r' <&3)
    [[ $answer == HTTP/1.?' 200 '* ]] || { echo "${answer%%$'\n'*}" >&2 && return 1; }
    printf '%s\n' "$answer"
}

bound() {
    local metrics consumers
    metrics=$(get "$1" /metrics)
    consumers=$(grep '^tidegate_consumer_bound{' <<<"$metrics") || { echo "no function has its consumer yet" && exit 1; }
    ! grep -v ' 1.0$' <<<"$consumers"
}

pong() {
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf 'nPING\n' >&3
    local answer
    IFS= read -r answer <&3
    [[ $answer == PONG ]]
}

main "$@"
