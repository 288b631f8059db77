-- What wrk sends: the requests of the file BENCH_REQUESTS, a line each: a token (or -) and a path. Each thread begins at
-- another place. With BENCH_PAUSE a connection waits so many milliseconds before each. At the end one line says what came of it.
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init()
  local method = os.getenv("BENCH_METHOD") or "GET"
  local body = os.getenv("BENCH_BODY")
  requests = {}
  for line in io.lines(os.getenv("BENCH_REQUESTS")) do
    local token, path = line:match("^(%S+) (%S+)$")
    local headers = { ["Host"] = "127.0.0.1" }
    if token ~= "-" then
      headers["Authorization"] = "Bearer " .. token
    end
    if body then
      headers["Content-Type"] = "application/json"
    end
    requests[#requests + 1] = wrk.format(method, path, headers, body)
  end
  at = math.floor(number * #requests / 2)
end

local pause = tonumber(os.getenv("BENCH_PAUSE")) or 0
if pause > 0 then
  function delay()
    return pause
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, e.status,
    e.connect + e.read + e.write + e.timeout, latency:percentile(50), latency:percentile(99)))
end
