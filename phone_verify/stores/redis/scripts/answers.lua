-- What an answer to a code changes besides its record; needs records and tally. The keys after the
-- phone's are those of the tally and of the address. If they are on another server (Cluster) there
-- are none, and the numbers are passed as arguments.

local NO_CHANGE = {short = 0, long = 0, right = 0, address = 0}

-- What the site and the address have answered; `first` is the position of the numbers in the arguments.
local function seen_from(first)
  if #KEYS == 1 then
    local short, right, count, ends_at = unpack(asked, first, first + 3)
    return {short = tonumber(short), right = tonumber(right), count = tonumber(count), ends_at = tonumber(ends_at)}
  end
  local sums, count, ends_at = tally_at(KEYS[2]), wrong_of(KEYS[3])
  return {short = sums.short, right = sums.right, count = count, ends_at = ends_at}
end

-- Why they forbid an answer, and how long to wait; or nil. A trusted device is never slowed.
local function slowed(record, seen, per_address, short_per_day)
  if record.trusted ~= '' then
    return nil
  end
  per_address = tonumber(per_address)
  if per_address > 0 and seen.count >= per_address and seen.ends_at > now then
    return 'quota', seen.ends_at - now
  end
  if record.short ~= '' and string.sub(counts_as(record), 1, 7) == 'sign_in'
      and closes_short(seen, short_per_day, record.tallied_short) then
    return 'short_codes_closed', HOUR
  end
end

-- Note a wrong answer on the record; returns what it changes elsewhere.
local function tallied(record, seen, has_address)
  if record.trusted ~= '' then
    return NO_CHANGE
  end
  local counts = seen.count < TALLIED_PER_ADDRESS
  local short = counts and record.short ~= '' and 1 or 0
  local long = counts and record.short == '' and tonumber(record.code_length ~= '' and record.code_length or 0) < LONG_CODE
    and 1 or 0
  record.mistakes = record.mistakes + 1
  record.tallied_short = record.tallied_short + short
  record.tallied_long = record.tallied_long + long
  return {short = short, long = long, right = 0, address = has_address and 1 or 0}
end

-- What a right answer takes back, and adds to the right ones. From the address no more than it has.
local function taken_back(record, seen, rights, has_address)
  local given = seen.ends_at > now and seen.count or 0
  return {
    short = -record.tallied_short, long = -record.tallied_long, right = tonumber(rights),
    address = has_address and -math.min(record.mistakes, given) or 0,
  }
end

-- Write the change, unless it is for another server; returns it as text, for Python.
local function changed(change)
  if #KEYS > 1 then
    tally_change(KEYS[2], change)
    if #KEYS > 2 and change.address ~= 0 then
      wrong_change(KEYS[3], change.address)
    end
  end
  return table.concat({change.short, change.long, change.right, change.address, ''}, '\0')
end
