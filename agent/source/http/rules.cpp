#include "agent/source/http/rules.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cctype>

namespace rivulet::source {
namespace {

using Kind = config::Decode::Kind;
constexpr std::size_t kLongestKey = 255;

std::string lower(std::string_view text) {
  std::string low(text);
  std::transform(low.begin(), low.end(), low.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return low;
}

std::string media_type_of(const Request& request) {
  std::string_view type = std::string_view(request.content_type).substr(0, request.content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  return lower(type);
}

bool is_one_json(std::string_view type) { return type == "application/json" || type == "text/json" || (type.size() > 5 && type.ends_with("+json")); }
bool is_json_lines(std::string_view type) {
  for (const std::string_view name : {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines", "application/x-jsonlines", "application/json-lines"})
    if (type == name) return true;
  return false;
}

bool good_key(std::string_view key) {
  return !key.empty() && key.size() <= kLongestKey && std::all_of(key.begin(), key.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

Answer with(Answer answer, std::string_view header) {
  answer.headers += header;
  return answer;
}

}  // namespace

Rules::Rules(const config::HttpSource& config, Kind decode) : config_(config), decode_(decode), token_(digest(config.token.reveal())) {}

std::optional<Answer> Rules::refuse(const Request& request) const {
  if (!request.http_1_0 && !request.has_host) return refused(400, "the Host header is missing (HTTP/1.1)");
  if (request.repeated) return refused(400, "Host, Authorization, Content-Type, Content-Encoding, Expect and Idempotency-Key may stand once");
  if (request.transfer_coding != Request::TransferCoding::none && (request.http_1_0 || request.content_length))
    return refused(400, "a Transfer-Encoding stands neither in HTTP/1.0 nor beside a Content-Length");
  if (request.transfer_coding == Request::TransferCoding::other) return refused(501, "of transfer codings chunked alone is known");
  if (!may_enter(request.authorization)) return with(refused(401, "a token is needed: Authorization: Bearer TOKEN"), "WWW-Authenticate: Bearer\r\n");
  if (request.path != config_.path) return refused(404, "records are POSTed to " + config_.path);
  if (request.method != "POST") return with(refused(405, "records are POSTed"), "Allow: POST\r\n");
  if (request.expects_other) return refused(417, "of expectations only 100-continue is known");
  if (!compression(request)) return with(refused(415, "of content encodings gzip and zstd are known"), "Accept-Encoding: gzip, zstd\r\n");
  if (const std::string type = media_type_of(request); !fits(type)) return refused(415, "this source does not decode " + type);
  if (request.has_idempotency_key && !good_key(request.idempotency_key)) return refused(400, "an Idempotency-Key is 1 to 255 printable characters");
  if (request.content_length && *request.content_length > config_.max_body_bytes)
    return refused(413, "the body is longer than " + std::to_string(config_.max_body_bytes) + " bytes; send it in parts");
  return {};
}

bool Rules::by_lines(const Request& request) const {
  if (config_.framing != config::HttpSource::Framing::automatic) return config_.framing == config::HttpSource::Framing::newline;
  if (decode_ == Kind::csv || decode_ == Kind::influx || decode_ == Kind::cbor) return false;  // these take a body apart themselves
  const std::string type = media_type_of(request);
  return !is_one_json(type) && type != "application/octet-stream";
}

std::optional<codec::Compression> Rules::compression(const Request& request) {
  const std::string name = lower(request.content_encoding);
  if (name.empty() || name == "identity") return codec::Compression::none;
  if (name == "gzip" || name == "x-gzip") return codec::Compression::gzip;
  if (name == "zstd") return codec::Compression::zstd;
  return {};
}

// Digests are compared, in constant time: neither where a guess differs nor how long it is shows.
bool Rules::may_enter(std::string_view authorization) const {
  if (config_.token.empty()) return true;
  constexpr std::string_view kScheme = "bearer ";
  if (lower(authorization.substr(0, kScheme.size())) != kScheme) return false;
  authorization.remove_prefix(kScheme.size());
  const Digest shown = digest(authorization.substr(std::min(authorization.find_first_not_of(' '), authorization.size())));
  return CRYPTO_memcmp(shown.data(), token_.data(), token_.size()) == 0;
}

// What clearly is something else is refused; what says nothing (curl's default is a form) is decoded.
bool Rules::fits(std::string_view type) const {
  if (type.starts_with("multipart/")) return false;
  if (decode_ == Kind::raw) return true;
  if (is_one_json(type) || is_json_lines(type)) return decode_ == Kind::json;
  if (type == "text/csv") return decode_ == Kind::csv;
  if (type == "application/cbor") return decode_ == Kind::cbor;
  return true;
}

Rules::Digest Rules::digest(std::string_view text) {
  Digest made{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), made.data());
  return made;
}

}  // namespace rivulet::source
