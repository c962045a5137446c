// Sampler: takes readings in a thread of its own, because a read of sysfs lasts as long as its driver wants: there is no non-blocking way.
//
// The thread knows nothing of the io_context: it leaves its result in a box and makes a descriptor readable. A driver that never answers holds
// that thread and nothing else; when the Sampler goes meanwhile, the thread is left alone with its box, and ends if the driver ever answers.
// Thread: io for every call; `read` runs in the other. Bound: one result. Lifetime: `read` owns what it needs.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "agent/base/result.h"
#include "agent/source/iio/sysfs_reader.h"

namespace rivulet::source {

class Sampler {
 public:
  static result<std::unique_ptr<Sampler>> start(std::function<Readings()> read);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  int descriptor() const;  // readable: take() has something. An eventfd, not to be closed
  bool busy() const;       // asked, and not yet taken
  void ask();              // once it is not busy
  std::optional<Readings> take();

 private:
  struct Box;
  explicit Sampler(std::shared_ptr<Box> box) : box_(std::move(box)) {}
  static void run(const std::shared_ptr<Box>& box);

  std::shared_ptr<Box> box_;
  std::thread thread_;
};

}  // namespace rivulet::source
