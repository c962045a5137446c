#include "agent/pipeline/aggregate/calls.h"

#include <algorithm>
#include <cctype>

#include "agent/pipeline/aggregate/functions.h"
#include "agent/pipeline/sql_text.h"

namespace rivulet::pipeline::aggregate {
namespace {

using Kind = SqlToken::Kind;
using Tokens = std::vector<SqlToken>;

Error refused(const std::string& what) { return {ErrorCode::invalid, what}; }

std::string lower(const std::string& text) {
  std::string small = text;
  std::transform(small.begin(), small.end(), small.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return small;
}

bool named(const SqlToken& token) { return token.kind == Kind::word || token.kind == Kind::quoted; }
bool opens(const Tokens& tokens, std::size_t at) { return at < tokens.size() && tokens[at].kind == Kind::open; }

// A bracket's inside: where each argument begins and ends among the tokens. Empty: nothing within.
struct Bracket {
  std::vector<std::pair<std::size_t, std::size_t>> arguments;
  std::size_t close = 0;
};
result<Bracket> bracket_of(const Tokens& tokens, std::size_t open) {
  Bracket bracket;
  int depth = 0;
  std::size_t begin = open + 1;
  for (std::size_t i = open; i < tokens.size(); ++i) {
    if (tokens[i].kind == Kind::open) ++depth;
    if (tokens[i].kind == Kind::close) --depth;
    if ((tokens[i].kind != Kind::comma || depth != 1) && depth != 0) continue;
    if (depth != 0 || i > begin || !bracket.arguments.empty()) bracket.arguments.emplace_back(begin, i);
    begin = i + 1;
    if (depth != 0) continue;
    bracket.close = i;
    return bracket;
  }
  return refused("a ( without its )");
}

// The function that the token at `at` calls, if it is an aggregate.
const Function* aggregate_at(const Tokens& tokens, std::size_t at, const Bracket& bracket) {
  const std::string name = lower(tokens[at].text);
  if ((name == "min" || name == "max") && bracket.arguments.size() > 1) return nullptr;
  return find_function(name);
}

result<void> check_inside(const Tokens& tokens, const CallText& call, const Bracket& bracket) {
  for (const auto& [begin, end] : bracket.arguments) {
    if (begin == end) return refused(call.written + ": an argument is empty");
    if (tokens[begin].upper == "DISTINCT") return refused(call.written + ": DISTINCT has no place here; count_distinct(x) counts different values, collect_set(x) lists them");
    for (std::size_t i = begin; i < end; ++i) {
      if (!named(tokens[i]) || !opens(tokens, i + 1)) continue;
      auto inner = bracket_of(tokens, i + 1);
      if (!inner) return inner.error();
      if (aggregate_at(tokens, i, *inner) != nullptr) return refused(call.written + ": " + lower(tokens[i].text) + "() inside " + call.function + "(): an aggregate of aggregates needs a second aggregate step");
    }
  }
  const std::size_t next = bracket.close + 1;
  if (next < tokens.size() && tokens[next].upper == "FILTER" && opens(tokens, next + 1))
    return refused(call.written + " FILTER: has no place here; " + call.function + "(CASE WHEN condition THEN x END) takes only what the condition is true for");
  return {};
}

}  // namespace

result<std::vector<CallText>> find_calls(std::string_view expression) {
  auto tokens = sql_tokens(expression);
  if (!tokens) return tokens.error();
  std::vector<CallText> calls;
  for (std::size_t i = 0; i < tokens->size(); ++i) {
    if (!named((*tokens)[i]) || !opens(*tokens, i + 1)) continue;
    auto bracket = bracket_of(*tokens, i + 1);
    if (!bracket) return bracket.error();
    const Function* function = aggregate_at(*tokens, i, *bracket);
    if (function == nullptr) continue;
    CallText call;
    call.function = function->name;
    call.begin = (*tokens)[i].begin;
    call.end = (*tokens)[bracket->close].end;
    call.written = expression.substr(call.begin, call.end - call.begin);
    if (auto good = check_inside(*tokens, call, *bracket); !good) return good.error();
    for (const auto& [begin, end] : bracket->arguments) call.arguments.emplace_back(expression.substr((*tokens)[begin].begin, (*tokens)[end - 1].end - (*tokens)[begin].begin));
    if (call.arguments.size() == 1 && call.arguments[0] == "*") {
      if (function->least > 0) return refused(call.written + ": expected " + function->usage);
      call.arguments.clear();
    }
    if (call.arguments.size() < function->least || call.arguments.size() > function->most) return refused(call.written + ": expected " + function->usage);
    calls.push_back(std::move(call));
    i = bracket->close;
  }
  return calls;
}

result<std::string> replace_calls(std::string_view expression, const std::vector<CallText>& calls, const std::function<std::string(std::size_t)>& call,
                                  const std::function<std::string(const std::string&)>& alias) {
  auto tokens = sql_tokens(expression);
  if (!tokens) return tokens.error();
  std::string text;
  std::size_t copied = 0, next = 0;
  const auto replace = [&](std::size_t begin, std::size_t end, const std::string& with) {
    text += expression.substr(copied, begin - copied);
    text += with;
    copied = end;
  };
  for (std::size_t i = 0; i < tokens->size(); ++i) {
    const SqlToken& token = (*tokens)[i];
    if (token.begin < copied) continue;  // within a call
    if (next < calls.size() && token.begin == calls[next].begin) {
      replace(token.begin, calls[next].end, call(next));
      ++next;
    } else if (named(token) && !opens(*tokens, i + 1)) {
      if (const std::string other = alias(token.text); !other.empty()) replace(token.begin, token.end, other);
    }
  }
  text += expression.substr(copied);
  return text;
}

result<std::string> canonical(std::string_view expression) {
  auto tokens = sql_tokens(expression);
  if (!tokens) return tokens.error();
  std::string text;
  for (const SqlToken& token : *tokens) text += (text.empty() ? "" : " ") + std::string(expression.substr(token.begin, token.end - token.begin));
  return text;
}

}  // namespace rivulet::pipeline::aggregate
