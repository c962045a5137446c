// probe(): does any broker accept a TCP connection? No librdkafka handle, no bytes sent: cheap enough to ask every second.
//
// Thread: the caller's; answers within timeout_ms. Name resolution can block for many seconds without a network, so it runs
// on a thread of its own that outlives the call if it must; at most one such thread waits at a time. A success that comes after its call
// is told by the next one, up to 90 s later. Brokers are connected to at once, for 2 s; names are looked up one after another.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace rivulet::kafka {

class Probe {
 public:
  explicit Probe(std::vector<std::string> brokers);
  ~Probe();  // never waits for name resolution
  bool reachable(std::int64_t timeout_ms);
  std::string trouble() const;  // why not: each broker and what it or the resolver said

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace rivulet::kafka
