-- wrk: each request is the ballot of another user on one question.
-- Environment: TOKENS, a file of "user_id token" lines; QUESTION; CHOICES, ids with commas between.
local tokens, choices = {}, {}
for line in io.lines(os.getenv("TOKENS")) do tokens[#tokens + 1] = line:match(" (.+)$") end
for id in os.getenv("CHOICES"):gmatch("[^,]+") do choices[#choices + 1] = id end
local path = "/api/v1/questions/" .. os.getenv("QUESTION") .. "/ballot"
local headers = { ["Content-Type"] = "application/json" }
local n = 0

function request()
  n = n + 1
  headers["Authorization"] = "Bearer " .. tokens[(n - 1) % #tokens + 1]
  local choice = choices[n % #choices + 1]
  return wrk.format("PUT", path, headers, '{"choice_ids":["' .. choice .. '"]}')
end
