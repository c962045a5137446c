#include "agent/source/http/request.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>

namespace rivulet::source {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

// A body that goes to a Body as it comes.
struct ToBody {
  using value_type = Body*;
  class reader {
   public:
    template <bool IsRequest, class Fields>
    reader(http::header<IsRequest, Fields>&, value_type& body) : body_(body) {}
    void init(const boost::optional<std::uint64_t>&, error_code& error) { error = {}; }
    template <class Buffers>
    std::size_t put(const Buffers& buffers, error_code& error) {
      error = {};
      std::size_t taken = 0;
      for (const auto piece : beast::buffers_range_ref(buffers)) {
        if (!body_->add({static_cast<const char*>(piece.data()), piece.size()})) {
          error = http::error::body_limit;
          return taken;
        }
        taken += piece.size();
      }
      return taken;
    }
    void finish(error_code& error) { error = {}; }

   private:
    value_type& body_;  // set after the parser was made
  };
};

template <class Text>
std::string text(const Text& of) {
  return std::string(of.data(), of.size());
}

// RFC 9112 section 3.2: /path?query, or http://host/path?query as it goes to proxies.
std::string path_of(std::string target) {
  if (const std::size_t scheme = target.find("://"); scheme != std::string::npos && target.front() != '/') {
    const std::size_t path = target.find('/', scheme + 3);
    target = path == std::string::npos ? "/" : target.substr(path);
  }
  return target.substr(0, target.find('?'));
}

}  // namespace

struct RequestReader::Parser : http::request_parser<ToBody> {};

RequestReader::RequestReader(Body& body) : parser_(std::make_unique<Parser>()), body_(body) {
  parser_->header_limit(kMaxHeadBytes);
  parser_->body_limit(boost::none);  // Body has its own
  parser_->get().body() = &body;
}

RequestReader::~RequestReader() = default;

RequestReader::Fed RequestReader::feed(std::string_view bytes) {
  Fed fed;
  error_code error;
  if (!parser_->is_header_done()) {
    parser_->eager(false);
    fed.used = parser_->put(boost::asio::buffer(bytes.data(), bytes.size()), error);
  } else if (!parser_->is_done() && !bytes.empty()) {
    parser_->eager(true);
    fed.used = parser_->put(boost::asio::buffer(bytes.data(), bytes.size()), error);
  }
  if (error && error != http::error::need_more) {
    fed.event = Event::failed;
    switch (static_cast<http::error>(error.value())) {
      case http::error::header_limit: status_ = 431; break;
      case http::error::bad_version: status_ = 505; break;
      case http::error::body_limit: status_ = body_.fault() == Body::Fault::no_memory ? 503 : 413; break;
      default: status_ = 400;
    }
    if (error.category() != error_code(http::error::bad_version).category()) status_ = 400;
    why_ = "no HTTP request: " + error.message();
    return fed;
  }
  if (parser_->is_header_done() && !told_head_) {
    told_head_ = true;
    look_at_head();
    fed.event = Event::head;
  } else if (parser_->is_done()) {
    fed.event = Event::done;
  }
  return fed;
}

void RequestReader::look_at_head() {
  const auto& head = parser_->get();
  request_.method = text(head.method_string());
  request_.path = path_of(text(head.target()));
  request_.http_1_0 = head.version() < 11;
  request_.has_host = head.find(http::field::host) != head.end();
  request_.keep_alive = head.keep_alive() && !request_.http_1_0;
  const auto once = [&](auto name, std::string& to) {
    const auto count = head.count(name);
    if (count > 1) request_.repeated = true;
    if (count > 0) to = text(head[name]);
    return count > 0;
  };
  std::string expect, host;
  once(http::field::host, host);
  once(http::field::authorization, request_.authorization);
  once(http::field::content_type, request_.content_type);
  once(http::field::content_encoding, request_.content_encoding);
  request_.has_idempotency_key = once("Idempotency-Key", request_.idempotency_key);
  if (once(http::field::expect, expect)) {
    request_.expects_continue = beast::iequals(expect, "100-continue");
    request_.expects_other = !request_.expects_continue;
  }
  if (const auto length = parser_->content_length()) request_.content_length = *length;
  if (const auto codings = head.count(http::field::transfer_encoding); codings > 0) {
    const bool chunked = codings == 1 && beast::iequals(head[http::field::transfer_encoding], "chunked");
    request_.transfer_coding = chunked ? Request::TransferCoding::chunked : Request::TransferCoding::other;
  }
}

}  // namespace rivulet::source
