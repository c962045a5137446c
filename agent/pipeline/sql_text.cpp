#include "agent/pipeline/sql_text.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace rivulet::pipeline {
namespace {

using Token = SqlToken;
using Kind = SqlToken::Kind;

bool word_start(unsigned char c) { return std::isalpha(c) != 0 || c == '_' || c >= 0x80; }
bool word_part(unsigned char c) { return word_start(c) || std::isdigit(c) != 0 || c == '$'; }

Error refused(const std::string& what) { return {ErrorCode::invalid, what}; }

// SQLite's own lexical rules (sqlite.org/lang_expr.html, tokenize.c): quotes are doubled to stand for themselves.
result<std::vector<Token>> tokens_of(std::string_view sql) {
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < sql.size();) {
    const auto c = static_cast<unsigned char>(sql[i]);
    const std::size_t known = tokens.size(), begin = i;
    if (std::isspace(c) != 0) {
      ++i;
    } else if (sql.substr(i, 2) == "--" || sql.substr(i, 2) == "/*") {
      return refused("a comment in an expression; write it as a YAML comment");
    } else if (c == '\'' || c == '"' || c == '`' || c == '[') {
      const char end = c == '[' ? ']' : static_cast<char>(c);
      std::string text;
      std::size_t j = i + 1;
      for (;; ++j) {
        if (j >= sql.size()) return refused(std::string("a ") + static_cast<char>(c) + " without its end");
        if (sql[j] != end) text += sql[j];
        else if (end != ']' && j + 1 < sql.size() && sql[j + 1] == end) text += sql[j++];
        else break;
      }
      tokens.push_back({c == '\'' ? Kind::text : Kind::quoted, text, ""});
      i = j + 1;
    } else if (std::isdigit(c) != 0 || (c == '.' && i + 1 < sql.size() && std::isdigit(static_cast<unsigned char>(sql[i + 1])) != 0)) {
      std::size_t j = i;
      while (j < sql.size() && (std::isalnum(static_cast<unsigned char>(sql[j])) != 0 || sql[j] == '.' || sql[j] == '_' ||
                                ((sql[j] == '+' || sql[j] == '-') && (sql[j - 1] == 'e' || sql[j - 1] == 'E') && sql.substr(i, 2) != "0x")))
        ++j;
      tokens.push_back({Kind::number, std::string(sql.substr(i, j - i)), ""});
      i = j;
    } else if (word_start(c)) {
      std::size_t j = i;
      while (j < sql.size() && word_part(static_cast<unsigned char>(sql[j]))) ++j;
      Token token{Kind::word, std::string(sql.substr(i, j - i)), ""};
      for (const char letter : token.text) token.upper += static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
      tokens.push_back(std::move(token));
      i = j;
    } else if (c == '?' || c == '@' || c == '$' || c == '#' || c == ':') {
      return refused(std::string("'") + static_cast<char>(c) + "' begins a parameter, which an expression does not have; a field is named by its name alone");
    } else if (c == ';') {
      return refused("a ; in an expression; expected one expression");
    } else if (c == '\0') {
      return refused("a NUL byte in an expression");
    } else {
      std::string text(1, static_cast<char>(c));
      for (const char* longer : {"->>", "->", "||", "<<", ">>", "<=", ">=", "==", "!=", "<>"})
        if (sql.substr(i, std::char_traits<char>::length(longer)) == longer) {
          text = longer;
          break;
        }
      tokens.push_back({c == '(' ? Kind::open : c == ')' ? Kind::close : c == ',' ? Kind::comma : Kind::operation, text, ""});
      i += text.size();
    }
    if (tokens.size() == known) continue;
    tokens.back().begin = begin;
    tokens.back().end = i;
  }
  return tokens;
}

constexpr std::array kForbidden = {"SELECT", "VALUES", "WITH", "EXISTS", "OVER", "FILTER", "RAISE", "UNION", "PRAGMA", "ATTACH"};
constexpr std::array kBooleanWords = {"IS", "ISNULL", "NOTNULL", "NOT", "AND", "OR", "IN", "LIKE", "GLOB", "MATCH", "REGEXP", "BETWEEN"};
constexpr std::array kBooleanOperators = {"=", "==", "<>", "!=", "<", "<=", ">", ">="};
// Words that an operand follows, so that a NOT after them stands before an operand too.
constexpr std::array kBeforeOperand = {"IS", "NOT", "AND", "OR", "IN", "LIKE", "GLOB", "MATCH", "REGEXP", "BETWEEN", "ESCAPE", "COLLATE", "CASE", "WHEN", "THEN", "ELSE"};

template <class List>
bool among(const List& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

// "(a > b)" is a > b: drops bracket pairs around the whole.
void strip_brackets(const Token*& first, const Token*& last) {
  while (last - first >= 2 && first->kind == Kind::open && (last - 1)->kind == Kind::close) {
    int depth = 0;
    for (const Token* token = first; token != last; ++token) {
      if (token->kind == Kind::open) ++depth;
      if (token->kind == Kind::close && --depth == 0 && token != last - 1) return;
    }
    ++first;
    --last;
  }
}

bool is_word(const Token& token, const char* upper) { return token.kind == Kind::word && token.upper == upper; }
bool computes(const Token& token) { return token.kind == Kind::operation && !among(kBooleanOperators, token.text); }

// Where SQLite's grammar lets a truth value be an operand without brackets: see `boolean` in the header. Such a text means
// something else to most readers, so brackets are asked for. Only the outermost level matters.
result<void> ask_for_brackets(const Token* first, const Token* last) {
  int inside = 0;
  bool list_of_in = false;  // the bracket that is open belongs to an IN
  for (const Token* token = first; token != last; ++token) {
    const Token* before = token == first ? nullptr : token - 1;
    if (token->kind == Kind::open || is_word(*token, "CASE")) {
      if (inside++ == 0) list_of_in = before != nullptr && is_word(*before, "IN");
      continue;
    }
    const bool ends_list = (token->kind == Kind::close || is_word(*token, "END")) && --inside == 0 && list_of_in;
    if (inside != 0) continue;
    if (is_word(*token, "NOT") && before != nullptr && computes(*before)) return refused("NOT after '" + before->text + "' needs brackets: " + before->text + " (NOT ...)");
    const bool not_null = is_word(*token, "NULL") && before != nullptr && is_word(*before, "NOT") && before != first && before[-1].kind != Kind::operation &&
                          !(before[-1].kind == Kind::word && among(kBeforeOperand, before[-1].upper));
    if ((ends_list || not_null || is_word(*token, "ISNULL") || is_word(*token, "NOTNULL")) && token + 1 != last && computes(token[1]))
      return refused("'" + token[1].text + "' after a condition needs brackets around the condition");
  }
  return {};
}

constexpr std::array kClockWords = {"CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"};
constexpr std::array kTimeFunctions = {"DATE", "TIME", "DATETIME", "JULIANDAY", "UNIXEPOCH", "STRFTIME", "TIMEDIFF"};

// sqlite.org/lang_datefunc.html: a function of time that is not given one takes 'now'.
bool reads_clock(const std::vector<Token>& tokens) {
  const bool now = std::any_of(tokens.begin(), tokens.end(), [](const Token& token) {
    std::string lower;
    for (const char letter : token.text) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    return token.kind == Kind::text && lower == "now";
  });
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].kind != Kind::word) continue;
    if (among(kClockWords, tokens[i].upper)) return true;
    if (!among(kTimeFunctions, tokens[i].upper) || i + 1 >= tokens.size() || tokens[i + 1].kind != Kind::open) continue;
    std::size_t arguments = 0, at = i + 2;
    for (int depth = 1; at < tokens.size() && depth > 0; ++at) {
      if (arguments == 0 && !(tokens[at].kind == Kind::close && depth == 1)) arguments = 1;
      if (tokens[at].kind == Kind::open) ++depth;
      if (tokens[at].kind == Kind::close) --depth;
      if (tokens[at].kind == Kind::comma && depth == 1) ++arguments;
    }
    if (now || arguments < (tokens[i].upper == "STRFTIME" ? 2U : 1U)) return true;
  }
  return false;
}

}  // namespace

result<std::vector<SqlToken>> sql_tokens(std::string_view expression) { return tokens_of(expression); }

result<SqlText> SqlText::analyse(std::string_view expression) {
  auto tokens = tokens_of(expression);
  if (!tokens) return tokens.error();
  if (tokens->empty()) return refused("is empty, expected an expression");
  SqlText found;
  int depth = 0;
  for (std::size_t i = 0; i < tokens->size(); ++i) {
    const Token& token = (*tokens)[i];
    if (token.kind == Kind::open) ++depth;
    if (token.kind == Kind::close && --depth < 0) return refused("a ) without its (");
    if (token.kind == Kind::word && among(kForbidden, token.upper)) return refused("'" + token.text + "' has no place in an expression; quote it as \"" + token.text + "\" if it is a field");
    if (token.kind != Kind::word && token.kind != Kind::quoted) continue;
    if (i + 1 < tokens->size() && (*tokens)[i + 1].kind == Kind::open) found.functions.push_back(token.text);
    else if (i == 0 || !is_word((*tokens)[i - 1], "COLLATE")) found.names.push_back(token.text);
  }
  if (depth != 0) return refused("a ( without its )");

  found.clock = reads_clock(*tokens);
  const Token* first = tokens->data();
  const Token* last = first + tokens->size();
  strip_brackets(first, last);
  if (auto clear = ask_for_brackets(first, last); !clear) return clear.error();
  if (last - first == 1 && (first->kind == Kind::word || first->kind == Kind::quoted)) {
    if (first->kind == Kind::word && (first->upper == "TRUE" || first->upper == "FALSE")) found.boolean = true;
    else if (first->kind == Kind::quoted || first->upper != "NULL") found.bare_field = first->text;
  }
  int inside = 0;  // brackets and CASE ... END
  for (const Token* token = first; token != last; ++token) {
    if (token->kind == Kind::open || is_word(*token, "CASE")) ++inside;
    else if (token->kind == Kind::close || is_word(*token, "END")) --inside;
    else if (inside == 0 && ((token->kind == Kind::word && among(kBooleanWords, token->upper)) || (token->kind == Kind::operation && among(kBooleanOperators, token->text))))
      found.boolean = true;
  }
  return found;
}

namespace {

// "left" or "right" where the token is that side's name, else nothing. A name in quotes is compared as it is.
std::string side_of(const std::vector<Token>& tokens, std::size_t at) {
  const Token& token = tokens[at];
  const bool named = token.kind == Kind::word ? token.upper == "LEFT" || token.upper == "RIGHT" : token.kind == Kind::quoted && (token.text == "left" || token.text == "right");
  if (!named || (at > 0 && tokens[at - 1].text == "." && tokens[at - 1].kind == Kind::operation)) return {};
  if (at + 1 < tokens.size() && tokens[at + 1].kind == Kind::open) return {};
  return token.kind == Kind::word ? (token.upper == "LEFT" ? "left" : "right") : token.text;
}

bool dot(const std::vector<Token>& tokens, std::size_t at) { return at < tokens.size() && tokens[at].kind == Kind::operation && tokens[at].text == "."; }

std::string in_quotes(const std::string& name) {
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

// Every mention of a side through `rewritten` (side, field; the field is empty for the whole record), the rest as it is.
template <class Rewritten>
result<std::string> each_side(std::string_view expression, const Rewritten& rewritten) {
  auto tokens = tokens_of(expression);
  if (!tokens) return tokens.error();
  std::string text;
  std::size_t copied = 0;
  for (std::size_t i = 0; i < tokens->size(); ++i) {
    const std::string side = side_of(*tokens, i);
    if (side.empty()) continue;
    std::size_t last = i;
    std::string field;
    if (dot(*tokens, i + 1)) {
      if (i + 2 >= tokens->size() || ((*tokens)[i + 2].kind != Kind::word && (*tokens)[i + 2].kind != Kind::quoted)) return refused("'" + side + ".' expects a field's name after it");
      last = i + 2;
      field = (*tokens)[last].text;
      if (dot(*tokens, last + 1)) return refused("'" + side + "." + field + ".' goes one step too far; a value inside another is " + side + "." + field + " ->> '$....'");
    }
    auto name = rewritten(side, field);
    if (!name) return name.error();
    text += expression.substr(copied, (*tokens)[i].begin - copied);
    text += in_quotes(*name);
    copied = (*tokens)[last].end;
    i = last;
  }
  text += expression.substr(copied);
  return text;
}

}  // namespace

result<std::string> name_sides(std::string_view expression) {
  return each_side(expression, [](const std::string& side, const std::string& field) -> result<std::string> { return field.empty() ? side : side + "." + field; });
}

result<std::string> left_alone(std::string_view expression) {
  return each_side(expression, [](const std::string& side, const std::string& field) -> result<std::string> {
    if (side == "right") return refused("'right' has no place here: the left record alone says which row of the table it is joined with");
    if (field.empty()) return refused("'left' is the whole record, expected a field of it");
    return field;
  });
}

}  // namespace rivulet::pipeline
