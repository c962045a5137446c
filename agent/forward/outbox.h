// Outbox: the five calls that the forwarder makes of the store (store/store.h says what they mean).
//
// Narrow on purpose: the simulation (tests/property/forward) puts an outbox here that loses what was not durable when it
// crashes, which a real file under a living process cannot show. Thread: forward.
#pragma once
#include "store/store.h"

namespace rivulet::forward {

class Outbox {
 public:
  virtual ~Outbox() = default;
  virtual result<std::vector<store::StreamInfo>> streams() = 0;
  virtual result<std::vector<store::Pack>> read(StreamId stream, Sequence after, std::size_t max_bytes) = 0;
  virtual result<std::optional<std::string>> fact(const std::string& name) = 0;
  virtual result<void> change(store::ForwardChange change) = 0;
  virtual void protect(const std::vector<store::ForwardChange::Acknowledged>& prepared) = 0;
};

class StoreOutbox final : public Outbox {
 public:
  explicit StoreOutbox(store::Store& store) : store_(store) {}
  // Those for topics; what is for local outputs is agent/sink's.
  result<std::vector<store::StreamInfo>> streams() override {
    auto all = store_.streams();
    if (all) std::erase_if(*all, [](const store::StreamInfo& stream) { return store::is_local(stream.topic); });
    return all;
  }
  result<std::vector<store::Pack>> read(StreamId stream, Sequence after, std::size_t max_bytes) override {
    return store_.read(stream, after, max_bytes);
  }
  result<std::optional<std::string>> fact(const std::string& name) override { return store_.fact(name); }
  result<void> change(store::ForwardChange change) override { return store_.change(std::move(change)); }
  void protect(const std::vector<store::ForwardChange::Acknowledged>& prepared) override { store_.protect(prepared); }

 private:
  store::Store& store_;
};

}  // namespace rivulet::forward
