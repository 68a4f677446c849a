-- The release registry's state machine: KEYS[1] is the release registry hash, ARGV[1] the transition, ARGV[2] the caller's journal. One call is one transition, on
-- one key, by the server's clock. Every answer is a list: "ok" or the name of a refusal, then details.
-- jobs/store/registry.py says what each transition means. Each gives the same answer when it arrives twice: a client
-- repeats a call whose answer was lost.

local key = KEYS[1]
local transition = ARGV[1]
local journal = ARGV[2]
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- In a Redis at maxmemory a script may go on writing if its first write frees memory or needs none: everything but
-- beginning a load must still work there, above all retiring and rolling back.
if transition ~= 'begin_load' then redis.call('HDEL', key, '') end

local INTENTS_KEPT = 1000

local function get(field) return redis.call('HGET', key, field) or '' end
local function set(field, value) redis.call('HSET', key, field, value) end
local function generation() return tonumber(get('generation')) or 0 end
local function quarantined(digest) return redis.call('HEXISTS', key, 'quarantine:' .. digest) == 1 end

local function record(release)
  local text = redis.call('HGET', key, 'release:' .. release)
  return text and cjson.decode(text) or nil
end
local function keep(release, entry) set('release:' .. release, cjson.encode(entry)) end

local function names(prefix)
  local found = {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, #prefix) == prefix then table.insert(found, string.sub(field, #prefix + 1)) end
  end
  table.sort(found)
  return found
end

local function referenced(release)
  return release == get('live') or release == get('previous') or release == get('canary')
end

-- The lease of a publisher ('loading') or of whoever removes keys ('retiring'). One that has more time left than it was
-- given comes from a server whose clock ran ahead of this one's: it must not block anybody until that time comes.
local function held(entry)
  local left_ms = (entry.lease_until_ms or 0) - now_ms
  return left_ms > 0 and left_ms <= (entry.lease_ms or 0)
end
local function lend(entry, lease_ms)
  entry.lease_ms = tonumber(lease_ms)
  entry.lease_until_ms = now_ms + entry.lease_ms
end

-- Releases that nothing points to any more get the time since when; those pointed to lose it.
local function stamp_references()
  for _, release in ipairs(names('release:')) do
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

-- An intent is named `<number>:<digest of its journal entry>`. The field of its number holds what became of it and that
-- digest; 0.1.0 wrote no digest.
local function split(intent)
  local seq, digest = string.match(intent, '^(%d+):?(%x*)$')
  return seq, digest
end
local function known(intent)
  local seq, digest = split(intent)
  local state, of = string.match(get('intent:' .. seq), '^(%S+) ?(%x*)$')
  return state, of, digest
end
local function mark(intent, state)
  local seq, digest = split(intent)
  set('intent:' .. seq, state .. ' ' .. digest)
end

-- Every change of the pointer ends here: fields by name, the generation it was promised, the intent marked as done.
local function point(intent, next_generation, fields)
  for field, value in pairs(fields) do set(field, value) end
  set('generation', next_generation)
  mark(intent, next_generation)
  local seq = split(intent)
  for _, old in ipairs(names('intent:')) do
    if tonumber(old) <= tonumber(seq) - INTENTS_KEPT then redis.call('HDEL', key, 'intent:' .. old) end
  end
  stamp_references()
  return {'ok', next_generation}
end

-- What a change of the pointer is answered before anything is looked at: it was carried out before, or was given up
-- by a later command, or somebody else was quicker. Its number alone proves nothing: what Redis knows under it may be
-- an entry of another history.
local function overtaken(intent, expected, next_generation)
  local state, of, digest = known(intent)
  if state ~= nil and of ~= digest then return {'other_entry', (split(intent))} end
  if state == 'closed' then return {'closed'} end
  if state ~= nil then return {'ok', state} end
  if generation() ~= tonumber(expected) or tonumber(next_generation) <= generation() then
    return {'generation', tostring(generation())}
  end
  return nil
end

-- A release may be pointed to only when it is whole, read back, and not barred.
local function unfit(release)
  local entry = record(release)
  if entry == nil or entry.state ~= 'verified' then
    return {'unverified', entry and entry.state or 'not loaded'}
  end
  if quarantined(entry.digest) then return {'quarantined', get('quarantine:' .. entry.digest)} end
  return nil
end

local transitions = {}

function transitions.begin_load(release, digest, partition, token, publisher, lease_ms, shape)
  if quarantined(digest) then return {'quarantined', get('quarantine:' .. digest)} end
  local own = record(release)
  if own ~= nil and own.state == 'verified' then
    if own.digest ~= digest then return {'conflict', own.digest} end
    return {'already'}
  end
  local dead = {}
  for _, other in ipairs(names('release:')) do
    local entry = record(other)
    local mine = other == release and entry.token == token
    if held(entry) and not mine and (entry.state == 'loading' or other == release) then
      return {'busy', other, entry.state, entry.holder, tostring(entry.since_ms), tostring(entry.lease_until_ms - now_ms)}
    end
    if other ~= release and entry.state ~= 'verified' and not held(entry) then
      if entry.state == 'loading' then
        entry.state = 'retiring'
        entry.token = nil
        keep(other, entry)
      end
      table.insert(dead, other)
    end
  end
  local entry = {state = 'loading', digest = digest, partition = partition, token = token, holder = publisher,
    since_ms = now_ms, unreferenced_since_ms = now_ms, shape = cjson.decode(shape)}
  lend(entry, lease_ms)
  keep(release, entry)
  return {'ok', unpack(dead)}
end

-- Prolongs the lease of a load or of a removal.
function transitions.renew(release, token, lease_ms)
  local entry = record(release)
  if entry == nil or entry.state == 'verified' or entry.token ~= token then return {'overtaken'} end
  lend(entry, lease_ms)
  keep(release, entry)
  return {'ok'}
end

-- What is known of a release since it was read back: its totals by kind of key, its bytes, Redis replicas at that time.
local function note(entry, facts)
  for name, value in pairs(cjson.decode(facts)) do entry[name] = value end
  entry.verified_at_ms = now_ms
end

function transitions.verify(release, token, facts)
  local entry = record(release)
  if entry == nil or entry.token ~= token or entry.state == 'retiring' then return {'overtaken'} end
  if entry.state == 'loading' then
    entry.state = 'verified'
    entry.lease_until_ms = nil
    entry.unreferenced_since_ms = now_ms
    if facts then note(entry, facts) end
    keep(release, entry)
  end
  return {'ok'}
end

-- The same for a release that was verified before and has been read back again.
function transitions.note(release, digest, facts)
  local entry = record(release)
  if entry == nil or entry.state ~= 'verified' or entry.digest ~= digest then return {'unverified'} end
  note(entry, facts)
  keep(release, entry)
  return {'ok'}
end

function transitions.abandon(release, token)
  local entry = record(release)
  if entry == nil or entry.token ~= token or entry.state == 'verified' then return {'overtaken'} end
  entry.state = 'retiring'
  entry.lease_until_ms = nil
  keep(release, entry)
  return {'ok'}
end

-- 'today', where it is given, is the latest day that has begun: a live release of a later one counts as none.
function transitions.activate(intent, expected, next_generation, release, force, today)
  local refused = overtaken(intent, expected, next_generation) or unfit(release)
  if refused then return refused end
  local live = get('live')
  if live == release then return {'already'} end
  local partition = record(release).partition
  local live_partition = get('live_partition')
  local begun = today == nil or today == '' or live_partition <= today
  if force ~= '1' and begun and live_partition > partition then return {'older', live} end
  return point(intent, next_generation, {live = release, live_partition = partition, previous = live,
    canary = '', canary_share = '0', activated_at_ms = now_ms})
end

function transitions.rollback(intent, expected, next_generation, release, why)
  local refused = overtaken(intent, expected, next_generation) or unfit(release)
  if refused then return refused end
  local left, entry = record(get('live')), record(release)
  if left == nil then return {'no_live'} end
  if left.digest == entry.digest then return {'same_lists', entry.digest} end
  set('quarantine:' .. left.digest, why)
  return point(intent, next_generation, {live = release, live_partition = entry.partition, previous = '',
    canary = '', canary_share = '0', activated_at_ms = now_ms})
end

function transitions.start_canary(intent, expected, next_generation, release, share)
  local refused = overtaken(intent, expected, next_generation) or unfit(release)
  if refused then return refused end
  if get('live') == release then return {'already'} end
  if get('live') == '' then return {'no_live'} end
  return point(intent, next_generation, {canary = release, canary_share = share})
end

function transitions.stop_canary(intent, expected, next_generation, why)
  local refused = overtaken(intent, expected, next_generation)
  if refused then return refused end
  local entry, live = record(get('canary')), record(get('live'))
  if entry == nil then return {'no_canary'} end
  if why ~= '' then
    if live ~= nil and live.digest == entry.digest then return {'same_lists', entry.digest} end
    set('quarantine:' .. entry.digest, why)
  end
  return point(intent, next_generation, {canary = '', canary_share = '0'})
end

function transitions.restore(intent, expected, next_generation, live, previous)
  local refused = overtaken(intent, expected, next_generation) or unfit(live)
  if refused then return refused end
  if previous ~= '' and unfit(previous) then return unfit(previous) end
  return point(intent, next_generation, {live = live, live_partition = record(live).partition, previous = previous,
    canary = '', canary_share = '0', activated_at_ms = now_ms})
end

-- Settles an intent whose publisher gave no outcome. From here on it is either done or can no longer be done. A
-- catalog that lacks the generation or the release which the intent began with has lost what would tell.
function transitions.close(intent, expected, release)
  local state, of, digest = known(intent)
  if state ~= nil and of ~= '' and of ~= digest then return {'other_entry', (split(intent))} end
  if state == 'closed' then return {'closed'} end
  if state ~= nil then return {'ok', state} end
  if generation() < tonumber(expected) or (release ~= '' and record(release) == nil) then
    return {'behind', tostring(generation())}
  end
  mark(intent, 'closed')
  return {'closed'}
end

function transitions.quarantine(digest, why)
  for _, field in ipairs({'live', 'canary'}) do
    local entry = record(get(field))
    if entry ~= nil and entry.digest == digest then return {'served', get(field)} end
  end
  if not quarantined(digest) then set('quarantine:' .. digest, why) end
  return {'ok'}
end

-- Takes the lease to remove a release's keys, also those of a release that the release registry does not know.
function transitions.begin_retire(release, grace_ms, token, holder, lease_ms)
  if referenced(release) then return {'referenced'} end
  local entry = record(release) or {digest = '', partition = '', state = 'retiring'}
  if held(entry) and entry.token ~= token then return {'busy', release, entry.state} end
  local idle_ms = now_ms - (entry.unreferenced_since_ms or now_ms)
  if entry.state == 'verified' and idle_ms < tonumber(grace_ms) then
    return {'too_fresh', tostring(tonumber(grace_ms) - idle_ms)}
  end
  entry.state = 'retiring'
  entry.token = token
  entry.holder = holder
  entry.since_ms = now_ms
  lend(entry, lease_ms)
  keep(release, entry)
  return {'ok'}
end

function transitions.finish_retire(release, token)
  local entry = record(release)
  if entry == nil then return {'ok'} end
  if entry.state ~= 'retiring' or entry.token ~= token then return {'overtaken'} end
  redis.call('HDEL', key, 'release:' .. release)
  return {'ok'}
end

-- The store becomes this journal's. One that has an owner is refused above.
function transitions.claim()
  set('journal', journal)
  return {'ok'}
end

-- Takes the store over from another journal, knowingly: the pointer stays, the generation grows, and what was known of
-- the other journal's intents is forgotten.
function transitions.adopt(intent, expected, next_generation)
  local state, of, digest = known(intent)
  if get('journal') == journal and state ~= nil and of == digest then return {'ok', state} end
  if generation() ~= tonumber(expected) or tonumber(next_generation) <= generation() then
    return {'generation', tostring(generation())}
  end
  for _, old in ipairs(names('intent:')) do redis.call('HDEL', key, 'intent:' .. old) end
  set('journal', journal)
  return point(intent, next_generation, {})
end

local carry_out = transitions[transition]
if carry_out == nil then return redis.error_reply('unknown transition ' .. transition) end

-- A store has one journal: whatever a command of another one asks for is refused.
local owner = get('journal')
if owner ~= '' and owner ~= journal and transition ~= 'adopt' then return {'foreign', owner} end
return carry_out(unpack(ARGV, 3))
