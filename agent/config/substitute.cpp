#include "agent/config/substitute.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace rivulet::config {
namespace {

constexpr std::size_t kMaxFileBytes = 64 * 1024;

result<std::string> read_secret(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const std::string why = std::strerror(errno);
    const bool of_service = path.rfind("/run/credentials/", 0) == 0;
    return Error{ErrorCode::io, "cannot read ${file:" + path + "}: " + why + (of_service ? "; it is there while the service runs, whose unit names it with LoadCredential=" : "")};
  }
  std::string content(kMaxFileBytes + 1, '\0');
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (file.bad()) return Error{ErrorCode::io, "cannot read ${file:" + path + "}"};
  content.resize(static_cast<std::size_t>(file.gcount()));
  if (content.size() > kMaxFileBytes) return Error{ErrorCode::invalid, "${file:" + path + "} is larger than 64KiB"};
  if (!content.empty() && content.back() == '\n') content.pop_back();
  if (!content.empty() && content.back() == '\r') content.pop_back();
  return content;
}

}  // namespace

result<std::string> substitute(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (text.compare(at, 3, "$${") == 0) {
      out += "${";
      at += 3;
      continue;
    }
    if (text.compare(at, 2, "${") != 0) {
      out += text[at++];
      continue;
    }
    const std::size_t end = text.find('}', at);
    if (end == std::string::npos) return Error{ErrorCode::invalid, "a ${ has no }; write $${ for a literal ${"};
    const std::string inside = text.substr(at + 2, end - at - 2);
    if (inside.rfind("env:", 0) == 0) {
      const char* value = std::getenv(inside.c_str() + 4);
      if (value == nullptr) return Error{ErrorCode::not_found, "the environment has no variable " + inside.substr(4) + " for ${" + inside + "}"};
      out += value;
    } else if (inside.rfind("file:", 0) == 0) {
      auto content = read_secret(inside.substr(5));
      if (!content) return content.error();
      out += *content;
    } else {
      return Error{ErrorCode::invalid, "${" + inside + "} is not known, expected ${env:NAME} or ${file:PATH}; write $${ for a literal ${"};
    }
    at = end + 1;
  }
  return out;
}

std::string without_content(std::string message, const std::string& text, const std::string& shown) {
  if (text.find("${") == std::string::npos) return message;
  const auto content = substitute(text);
  if (!content || *content == text) return message;
  constexpr std::size_t kTelling = 3;  // bytes: less of it says nothing
  for (std::size_t begin = message.find('\''); begin != std::string::npos;) {
    const std::size_t end = message.find('\'', ++begin);
    if (end == std::string::npos) break;
    std::string quoted = message.substr(begin, end - begin);
    if (quoted.ends_with("...")) quoted.resize(quoted.size() - 3);
    const bool tells = content->size() < kTelling ? quoted == *content : quoted.size() >= kTelling && content->find(quoted) != std::string::npos;
    if (tells) message.replace(begin, end - begin, shown);
    begin = message.find('\'', tells ? begin + shown.size() + 1 : end + 1);
  }
  return message;
}

}  // namespace rivulet::config
