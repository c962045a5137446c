// Request: what of an HTTP request's head matters here; RequestReader: takes a request's bytes apart (HTTP/1.0 and 1.1, by Boost.Beast).
//
// A message with both Content-Length and Transfer-Encoding, or with anything else that proxies read differently, is no request (RFC 9112 section 6);
// where only the transfer coding says so, that is for Rules.
// Thread: one. Bounds: a head of kMaxHeadBytes; nothing of a body is kept here. Errors: an Answer's status and why.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/source/http/body.h"

namespace rivulet::source {

struct Request {
  enum class TransferCoding { none, chunked, other };
  std::string method, path;  // of the path what stands before ?
  bool http_1_0 = false, has_host = false, keep_alive = true, expects_continue = false, expects_other = false;
  std::string authorization, content_type, content_encoding, idempotency_key;
  bool repeated = false;  // a header that may stand once stands twice
  bool has_idempotency_key = false;
  TransferCoding transfer_coding = TransferCoding::none;  // other: where the body ends is not known
  std::optional<std::uint64_t> content_length;
};

class RequestReader {
 public:
  static constexpr std::size_t kMaxHeadBytes = 8 * 1024;
  enum class Event {
    more,    // give it what was not used, and more
    head,    // request() is there; what follows is its body
    done,    // the body has ended
    failed,  // status(), why()
  };
  struct Fed {
    Event event = Event::more;
    std::size_t used = 0;
  };

  // `body` takes what the body is; when it does not, the reader fails.
  explicit RequestReader(Body& body);
  ~RequestReader();

  Fed feed(std::string_view bytes);
  const Request& request() const { return request_; }
  unsigned status() const { return status_; }
  const std::string& why() const { return why_; }

 private:
  struct Parser;
  void look_at_head();

  std::unique_ptr<Parser> parser_;
  Body& body_;
  Request request_;
  bool told_head_ = false;
  unsigned status_ = 400;
  std::string why_;
};

}  // namespace rivulet::source
