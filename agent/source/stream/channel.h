// Channel: bytes to and from one client of a stream socket, plain or TLS, without ever waiting.
//
// The caller waits for the socket to be readable or writable as `want` says and calls again. No buffers of its own (OpenSSL
// keeps one record while it is needed). Thread: io. Lifetime: the socket outlives the channel.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct ssl_st;
struct ssl_ctx_st;

namespace rivulet::source {

class Channel {
 public:
  enum class Want { nothing, read, write };
  struct Outcome {
    std::size_t bytes = 0;      // moved
    Want want = Want::nothing;  // not `nothing`: nothing was moved, wait for this first
    bool closed = false;        // an orderly end by the client
    std::string error;          // not empty: the connection is of no more use
  };

  Channel(int socket, ssl_ctx_st* tls);  // tls: null for a plain connection
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  bool is_tls() const { return tls_ != nullptr; }
  Outcome handshake();  // TLS only; want == nothing and no error: done
  Outcome read(std::span<char> into);
  Outcome write(std::string_view bytes);
  void end();  // tells the client that nothing more will come

 private:
  struct FreeTls {
    void operator()(ssl_st* tls) const;
  };
  Outcome tls_outcome(int answer) const;

  int socket_;
  std::unique_ptr<ssl_st, FreeTls> tls_;
};

}  // namespace rivulet::source
