# shellcheck shell=bash
# Services for the tests and benchmarks. To be sourced by scripts that `set -euo pipefail`.
#
#   ensure_postgres_installed   finds or installs PostgreSQL; sets POSTGRES_BIN
#   start_postgres DIR [FILE]   starts a throw-away cluster in DIR; sets POSTGRES_URL
#                               and POSTGRES_PID. FILE has settings for it, in place of those that
#                               give up durability for speed
#   stop_postgres               stops that cluster, if one is running
#   ensure_redis_installed      finds or installs redis-server
#   start_redis DIR             starts a throw-away server in DIR; sets REDIS_SERVER_URL
#   stop_redis                  stops that server, if one is running

POSTGRES_MIN_VERSION=15
POSTGRES_START_SECONDS=60
# Not REDIS_…: scripts/test unsets what begins so.
START_REDIS_SECONDS=20

# What start_postgres started, so that stop_postgres touches nothing else.
_postgres_data=
_postgres_pid=
_postgres_user=

# The same of start_redis.
_redis_dir=
_redis_pid=

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# apt_install PACKAGE...: fails where there is no apt-get, or no way to become root.
apt_install() {
  local -a as_root=()
  command -v apt-get >/dev/null || return 1
  if ((EUID != 0)); then
    command -v sudo >/dev/null || return 1
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

_is_postgres_bin() {
  local program
  for program in initdb pg_ctl pg_isready postgres; do
    [[ -x $1/$program ]] || return 1
  done
}

# Debian keeps the server programs out of PATH, one folder for each major version.
_find_postgres() {
  local bin version newest=0
  for bin in /usr/lib/postgresql/*/bin; do
    version=${bin%/bin}
    version=${version##*/}
    [[ $version =~ ^[0-9]+$ ]] || continue
    if ((version >= POSTGRES_MIN_VERSION && version > newest)) && _is_postgres_bin "$bin"; then
      newest=$version
      POSTGRES_BIN=$bin
    fi
  done
  ((newest > 0))
}

ensure_postgres_installed() {
  if [[ -n ${POSTGRES_BIN:-} ]]; then
    _is_postgres_bin "$POSTGRES_BIN" ||
      die "POSTGRES_BIN is $POSTGRES_BIN, but initdb, pg_ctl, pg_isready and postgres are not all there."
    POSTGRES_BIN=$(cd -- "$POSTGRES_BIN" && pwd)
    return
  fi
  _find_postgres && return
  echo "No PostgreSQL $POSTGRES_MIN_VERSION or newer is installed; trying apt-get."
  if ! apt_install postgresql || ! _find_postgres; then
    die "PostgreSQL $POSTGRES_MIN_VERSION or newer is missing, and apt-get could not provide it.
Install the PostgreSQL server (on Debian and Ubuntu, as root: apt-get install postgresql),
or set POSTGRES_BIN to the folder with initdb, pg_ctl, pg_isready and postgres."
  fi
}

# PostgreSQL refuses to run as root, so root hands the cluster to an unprivileged user.
_choose_postgres_user() {
  _postgres_user=
  ((EUID == 0)) || return 0
  if id postgres >/dev/null 2>&1; then
    _postgres_user=postgres
    return
  fi
  _postgres_user=tenantry-test
  id "$_postgres_user" >/dev/null 2>&1 ||
    useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "$_postgres_user" ||
    die "PostgreSQL cannot run as root, and the user $_postgres_user could not be created."
}

# Runs a command as the cluster's owner, from / because that user may not be able to enter the
# current folder. The empty environment keeps PG* variables out. The new session keeps a Ctrl-C from
# ending pg_ctl halfway, which would leave a server that nobody knows of.
_as_postgres() {
  local -a command=(env -i -C / PATH="$PATH" LC_ALL=C "$@")
  if [[ -z $_postgres_user ]]; then
    setsid --wait "${command[@]}"
  elif command -v runuser >/dev/null; then
    setsid --wait runuser -u "$_postgres_user" -- "${command[@]}"
  elif command -v setpriv >/dev/null; then
    setsid --wait setpriv --reuid "$_postgres_user" --regid "$(id -g "$_postgres_user")" \
      --init-groups -- "${command[@]}"
  else
    setsid --wait su -s "$BASH" -c "$(printf '%q ' "${command[@]}")" "$_postgres_user"
  fi
}

# Below the range that the kernel takes for outgoing connections.
_free_port() {
  local port
  while true; do
    port=$((20000 + RANDOM % 12000))
    if ! (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
}

_postgres_failed() {
  printf '%s\n' "${0##*/}: $1 The end of $2:" >&2
  tail -n 30 -- "$2" >&2 || true
  stop_postgres
  exit 1
}

start_postgres() {
  local dir port log deadline
  [[ -z $_postgres_data ]] || die "start_postgres: a cluster is already running in $_postgres_data."
  [[ -n ${POSTGRES_BIN:-} ]] || ensure_postgres_installed
  mkdir -p -- "$1"
  dir=$(cd -- "$1" && pwd -P)
  log=$dir/postgres.log

  _choose_postgres_user
  [[ -z $_postgres_user ]] || chown "$_postgres_user:" "$dir"
  chmod 700 "$dir"
  _as_postgres test -w "$dir" -a -x "$dir" ||
    die "The user ${_postgres_user:-$(id -un)} cannot use $dir; set TMPDIR to a folder that all users can reach."

  # The C locale makes the order of text the same on every machine.
  _as_postgres "$POSTGRES_BIN/initdb" -D "$dir/data" -U postgres -A trust \
    --encoding=UTF8 --locale=C --no-sync >"$dir/initdb.log" 2>&1 ||
    _postgres_failed "initdb failed." "$dir/initdb.log"
  _as_postgres mkdir "$dir/socket"
  cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '"$dir/socket"'
max_connections = 300
CONF
  if [[ -n ${2:-} ]]; then
    cat -- "$2" >>"$dir/data/postgresql.conf"
  else
    # Nothing here outlives the run, so nothing has to survive a crash.
    cat >>"$dir/data/postgresql.conf" <<CONF
shared_buffers = 128MB
fsync = off
synchronous_commit = off
full_page_writes = off
jit = off
CONF
  fi

  _postgres_data=$dir/data
  deadline=$((SECONDS + POSTGRES_START_SECONDS))
  while true; do
    port=$(_free_port)
    rm -f -- "$log"
    if _as_postgres "$POSTGRES_BIN/pg_ctl" start -D "$dir/data" -l "$log" \
      -w -t "$POSTGRES_START_SECONDS" -o "-p $port" >"$dir/pg_ctl.log" 2>&1; then
      break
    fi
    # Another program may have taken the port since we looked.
    if ((SECONDS >= deadline)) || ! grep -q 'Address already in use' "$log" 2>/dev/null; then
      [[ -s $log ]] || log=$dir/pg_ctl.log
      _postgres_failed "PostgreSQL did not start." "$log"
    fi
  done
  _postgres_pid=$(head -n 1 "$dir/data/postmaster.pid")

  until _as_postgres "$POSTGRES_BIN/pg_isready" -q -h 127.0.0.1 -p "$port" -U postgres -d postgres; do
    ((SECONDS < deadline)) ||
      _postgres_failed "PostgreSQL was not ready after $POSTGRES_START_SECONDS seconds." "$log"
    sleep 0.2
  done
  # Read by the script that sources this file.
  # shellcheck disable=SC2034
  POSTGRES_PID=$_postgres_pid
  # shellcheck disable=SC2034
  POSTGRES_URL=postgres://postgres@127.0.0.1:$port/postgres
}

# The number alone proves nothing: it may have gone to another process meanwhile.
_is_our_postmaster() {
  [[ -n $_postgres_pid ]] &&
    tr '\0' ' ' 2>/dev/null <"/proc/$_postgres_pid/cmdline" | grep -qF -- "$_postgres_data"
}

stop_postgres() {
  local tries
  [[ -n $_postgres_data ]] || return 0
  if [[ -e $_postgres_data/postmaster.pid ]]; then
    _as_postgres "$POSTGRES_BIN/pg_ctl" stop -D "$_postgres_data" -m immediate -w -t 20 \
      >/dev/null 2>&1 || true
  fi
  # For a server whose folder is gone, or that did not obey.
  for ((tries = 0; tries < 50; tries++)); do
    _is_our_postmaster || break
    kill -QUIT "$_postgres_pid" 2>/dev/null || true
    sleep 0.1
  done
  if _is_our_postmaster; then
    kill -KILL "$_postgres_pid" 2>/dev/null || true
  fi
  _postgres_data=
  _postgres_pid=
  unset POSTGRES_URL POSTGRES_PID
}

ensure_redis_installed() {
  command -v redis-server >/dev/null && return
  echo "No redis-server is installed; trying apt-get."
  if ! apt_install redis-server || ! command -v redis-server >/dev/null; then
    die "redis-server is missing, and apt-get could not provide it.
Install Redis 7 or newer (on Debian and Ubuntu, as root: apt-get install redis-server)."
  fi
}

_redis_answers() {
  local answer=
  {
    exec {socket}<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'PING\r\n' >&"$socket"
    IFS= read -r -t 2 answer <&"$socket" || true
    exec {socket}>&-
  } 2>/dev/null
  [[ $answer == +PONG* ]]
}

# The number alone proves nothing, as with PostgreSQL. A redis-server shows its port in its title.
_is_our_redis() {
  [[ -n $_redis_pid && -n $_redis_dir && $(readlink -- "/proc/$_redis_pid/cwd") == "$_redis_dir" ]]
}

start_redis() {
  local dir port log deadline socket
  [[ -z $_redis_dir ]] || die "start_redis: a server is already running in $_redis_dir."
  ensure_redis_installed
  mkdir -p -- "$1"
  dir=$(cd -- "$1" && pwd -P)
  log=$dir/redis.log
  _redis_dir=$dir
  deadline=$((SECONDS + START_REDIS_SECONDS))
  while true; do
    port=$(_free_port)
    # A session of its own, so that a Ctrl-C does not end it before the tests are.
    env -i -C "$dir" PATH="$PATH" LC_ALL=C setsid redis-server --bind 127.0.0.1 --port "$port" \
      --save '' --appendonly no --dir "$dir" --pidfile '' >"$log" 2>&1 </dev/null &
    _redis_pid=$!
    while kill -0 "$_redis_pid" 2>/dev/null; do
      if _redis_answers "$port"; then
        # Read by the script that sources this file.
        # shellcheck disable=SC2034
        REDIS_SERVER_URL=redis://127.0.0.1:$port
        disown "$_redis_pid"
        return
      fi
      ((SECONDS < deadline)) || break
      sleep 0.1
    done
    # Another program may have taken the port since we looked.
    if ((SECONDS >= deadline)) || ! grep -q 'Address already in use' "$log"; then
      printf '%s\n' "${0##*/}: redis-server did not start. The end of $log:" >&2
      tail -n 30 -- "$log" >&2 || true
      stop_redis
      exit 1
    fi
  done
}

stop_redis() {
  local tries
  [[ -n $_redis_dir ]] || return 0
  for ((tries = 0; tries < 50; tries++)); do
    _is_our_redis || break
    kill -TERM "$_redis_pid" 2>/dev/null || true
    sleep 0.1
  done
  if _is_our_redis; then
    kill -KILL "$_redis_pid" 2>/dev/null || true
  fi
  _redis_dir=
  _redis_pid=
  unset REDIS_SERVER_URL
}
