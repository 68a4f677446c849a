-- The catalog's state machine: KEYS[1] is the catalog hash, ARGV[1] the transition. One call is one transition, on
-- one key, by the server's clock. Every answer is a list: "ok" or the name of a refusal, then details.
-- jobs/store/catalog.py says what each transition means.

local key = KEYS[1]
local transition = ARGV[1]
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function get(field) return redis.call('HGET', key, field) or '' end
local function set(field, value) redis.call('HSET', key, field, value) end
local function record(release)
  local text = redis.call('HGET', key, 'release:' .. release)
  return text and cjson.decode(text) or nil
end
local function keep(release, entry) set('release:' .. release, cjson.encode(entry)) end
local function quarantined(digest) return redis.call('HEXISTS', key, 'quarantine:' .. digest) == 1 end
local function generation() return tonumber(get('generation')) or 0 end

local function referenced(release)
  return release == get('live') or release == get('previous') or release == get('canary')
end

-- Releases that nothing points to any more get the time since when; those pointed to lose it.
local function stamp_references()
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 8) == 'release:' then
      local release = string.sub(field, 9)
      local entry = record(release)
      if referenced(release) then
        entry.unreferenced_since_ms = nil
        keep(release, entry)
      elseif entry.unreferenced_since_ms == nil then
        entry.unreferenced_since_ms = now_ms
        keep(release, entry)
      end
    end
  end
end

local function point(live, previous, canary, share)
  local entry = record(live)
  set('generation', generation() + 1)
  set('live', live)
  set('live_partition', entry.partition)
  set('previous', previous)
  set('canary', canary)
  set('canary_share', share)
  set('activated_at_ms', now_ms)
  stamp_references()
  return {'ok', tostring(generation())}
end

-- A release may be pointed to only when it is whole, read back, and not barred.
local function refusal(release, expected)
  if generation() ~= tonumber(expected) then return {'generation', tostring(generation())} end
  local entry = record(release)
  if entry == nil or entry.state ~= 'verified' then
    return {'unverified', entry and entry.state or 'not loaded'}
  end
  if quarantined(entry.digest) then return {'quarantined', get('quarantine:' .. entry.digest)} end
  return nil
end

if transition == 'begin_load' then
  local release, digest, partition, token, publisher, lease_ms =
    ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
  if quarantined(digest) then return {'quarantined', get('quarantine:' .. digest)} end
  local dead = {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 8) == 'release:' then
      local other = string.sub(field, 9)
      local entry = record(other)
      if entry.state == 'loading' then
        if entry.lease_until_ms > now_ms then
          return {'busy', other, entry.publisher, tostring(entry.lease_until_ms - now_ms)}
        end
        entry.state = 'retiring'
        keep(other, entry)
      end
      if entry.state == 'retiring' then table.insert(dead, other) end
    end
  end
  local entry = record(release)
  if entry ~= nil and entry.state == 'verified' then
    if entry.digest ~= digest then return {'conflict', entry.digest} end
    return {'already'}
  end
  keep(release, {state = 'loading', digest = digest, partition = partition, token = token,
    publisher = publisher, lease_until_ms = now_ms + lease_ms, unreferenced_since_ms = now_ms})
  return {'ok', unpack(dead)}

elseif transition == 'renew' or transition == 'verify' then
  local release, token, lease_ms = ARGV[2], ARGV[3], tonumber(ARGV[4])
  local entry = record(release)
  if entry == nil or entry.state ~= 'loading' or entry.token ~= token then return {'overtaken'} end
  if transition == 'verify' then
    entry.state = 'verified'
    entry.unreferenced_since_ms = now_ms
  else
    entry.lease_until_ms = now_ms + lease_ms
  end
  keep(release, entry)
  return {'ok'}

elseif transition == 'abandon' then
  local release, token = ARGV[2], ARGV[3]
  local entry = record(release)
  if entry == nil or entry.state ~= 'loading' or entry.token ~= token then return {'overtaken'} end
  entry.state = 'retiring'
  keep(release, entry)
  return {'ok'}

elseif transition == 'activate' then
  local release, expected, force = ARGV[2], ARGV[3], ARGV[4] == '1'
  local refused = refusal(release, expected)
  if refused then return refused end
  if get('live') == release then return {'already', tostring(generation())} end
  if not force and get('live_partition') > record(release).partition then
    return {'older', get('live')}
  end
  return point(release, get('live'), '', '0')

elseif transition == 'rollback' then
  local release, expected, why = ARGV[2], ARGV[3], ARGV[4]
  local refused = refusal(release, expected)
  if refused then return refused end
  local left = get('live')
  if left == release then return {'already', tostring(generation())} end
  local entry = record(left)
  if entry ~= nil then
    if entry.digest == record(release).digest then return {'same_lists', entry.digest} end
    set('quarantine:' .. entry.digest, why)
  end
  return point(release, '', '', '0')

elseif transition == 'canary' then
  local release, expected, share = ARGV[2], ARGV[3], ARGV[4]
  if release == '' then
    if generation() ~= tonumber(expected) then return {'generation', tostring(generation())} end
    if get('canary') == '' then return {'no_canary'} end
    set('generation', generation() + 1)
    set('canary', '')
    set('canary_share', '0')
    stamp_references()
    return {'ok', tostring(generation())}
  end
  local refused = refusal(release, expected)
  if refused then return refused end
  if get('live') == release then return {'already', tostring(generation())} end
  set('generation', generation() + 1)
  set('canary', release)
  set('canary_share', share)
  stamp_references()
  return {'ok', tostring(generation())}

elseif transition == 'quarantine' then
  local digest, why = ARGV[2], ARGV[3]
  local live, canary = record(get('live')), record(get('canary'))
  if (live and live.digest == digest) or (canary and canary.digest == digest) then
    return {'served'}
  end
  set('quarantine:' .. digest, why)
  return {'ok'}

elseif transition == 'begin_retire' then
  local release, grace_ms = ARGV[2], tonumber(ARGV[3])
  local entry = record(release)
  if entry == nil then return {'not_loaded'} end
  if entry.state == 'retiring' then return {'ok'} end
  if referenced(release) then return {'referenced'} end
  if entry.state == 'loading' and entry.lease_until_ms > now_ms then return {'busy'} end
  local since = entry.unreferenced_since_ms or now_ms
  if entry.state == 'verified' and now_ms - since < grace_ms then
    return {'too_fresh', tostring(grace_ms - (now_ms - since))}
  end
  entry.state = 'retiring'
  keep(release, entry)
  return {'ok'}

elseif transition == 'finish_retire' then
  local entry = record(ARGV[2])
  if entry ~= nil and entry.state ~= 'retiring' then return {'not_retiring'} end
  redis.call('HDEL', key, 'release:' .. ARGV[2])
  return {'ok'}

elseif transition == 'restore' then
  local live, previous, next_generation = ARGV[2], ARGV[3], tonumber(ARGV[4])
  if get('live') ~= '' then return {'not_empty', get('live')} end
  for _, release in ipairs({live, previous}) do
    local entry = record(release)
    if release ~= '' and (entry == nil or entry.state ~= 'verified') then
      return {'unverified', release}
    end
    if entry ~= nil and quarantined(entry.digest) then return {'quarantined', release} end
  end
  set('generation', math.max(generation(), next_generation - 1))
  return point(live, previous, '', '0')
end

return redis.error_reply('unknown transition ' .. transition)
