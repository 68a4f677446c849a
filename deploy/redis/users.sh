#!/bin/sh
# Who may do what in Redis.
# In: a folder of password files (REDIS_SECRETS), the namespace (NIGHTSHELF_NAMESPACE). Out: with `print` the lines of an ACL file;
# with `apply` the same users in the running node, without ending a connection. A password file holds the password in
# its first line; while it is exchanged further lines hold what is valid beside it.
set -eu

secrets=${REDIS_SECRETS:-/run/secrets}
space=${NIGHTSHELF_NAMESPACE:-shelf}

# Hashes of every line, as ACL rules; Redis and this file system hold no password in the clear beside the secret.
passwords() {
    file=$secrets/redis_$1_password
    [ -s "$file" ] || { echo "error: no password in $file" >&2; exit 1; }
    while IFS= read -r line || [ -n "$line" ]; do
        [ -n "$line" ] || continue
        printf '#%s ' "$(printf %s "$line" | sha256sum | cut -d ' ' -f 1)"
    done <"$file"
}

talk='+ping +hello +auth +reset +quit +echo +command +client|setname +client|id +client|getname'
topology='+cluster|slots +cluster|shards +cluster|nodes +cluster|info +cluster|myid +cluster|keyslot +cluster|countkeysinslot +readonly +readwrite +asking'

# %R~ is the right to read: Redis 7 or newer.
rules() {
    case $1 in
        edge) echo "%R~$space:* resetchannels -@all +hget +hmget +hgetall +get +mget +exists $talk $topology" ;;
        loader) echo "~$space:* resetchannels -@all +@read +@write +@scripting +@transaction -@dangerous -@blocking +wait +info +time $talk $topology" ;;
        monitor) echo "resetkeys resetchannels -@all +info +slowlog|len +slowlog|get +latency|latest +latency|histogram +config|get +dbsize +client|list $talk $topology" ;;
        replica) echo "resetkeys resetchannels -@all +psync +replconf +ping +hello +auth" ;;
        # What empties or freezes a node is taken from the administrator, too; who really means it grants it first.
        admin) echo "~* &* +@all -flushall -flushdb -debug -keys -swapdb -module -migrate" ;;
    esac
}

print() {
    # Nobody without a name gets in.
    echo "user default off resetpass resetkeys resetchannels -@all"
    for user in edge loader monitor replica admin; do
        echo "user $user on $(passwords $user)$(rules $user)"
    done
}

apply() {
    print | while read -r _ user rules; do
        # shellcheck disable=SC2086  # the rules are words
        admin ACL SETUSER "$user" reset $rules
    done
    admin CONFIG SET masterauth "$(head -n 1 "$secrets/redis_replica_password")"
}

# redis-cli as the administrator, with any of the passwords; the command goes in by standard input, which no list of
# processes shows.
admin() {
    while IFS= read -r password; do
        # shellcheck disable=SC2086  # options are words
        answer=$(printf '%s ' "$@" | REDISCLI_AUTH=$password redis-cli ${REDIS_CLI_OPTIONS:-} --user admin --no-auth-warning 2>&1) || true
        [ "$answer" = OK ] && return
    done <"$secrets/redis_admin_password"
    echo "error: Redis said: $answer" >&2
    exit 1
}

"$1"
