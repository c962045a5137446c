#include "agent/app/epoch_cycle.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

#include "agent/base/check.h"
#include "agent/base/fault_point.h"

namespace rivulet::app {
namespace {

// How long the negative control sits on an epoch that it has already acknowledged.
constexpr std::chrono::milliseconds kBrokenDelay{300};

bool acknowledges_too_early() { return broken_on_purpose("agent.acknowledge_before_commit"); }

}  // namespace

EpochCycle::EpochCycle(boost::asio::io_context& io, store::Store& store, Limits limits, Listener& listener)
    : io_(io), store_(store), limits_(limits), listener_(listener), timer_(io), number_(limits.first) {}

bool EpochCycle::can_accept() const {
  if (lost_ || idle_) return false;
  const std::size_t bound = committing_ ? limits_.epoch_bytes : limits_.epoch_bytes + limits_.epoch_bytes / 4;
  return filling_.size_bytes() < bound && store_.has_room();
}

void EpochCycle::grown() {
  if (filling_.size_bytes() >= limits_.epoch_bytes) end_later();
  if (owed_) return;
  owed_ = true;
  if (due_ || ending_) return;
  timer_.expires_after(std::chrono::milliseconds(limits_.commit_interval_ms));
  timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (!error && !alive.expired()) end();
  });
}

void EpochCycle::commit_soon() { end_later(); }

void EpochCycle::end_later() {
  if (committing_) {
    due_ = true;
    return;
  }
  if (ending_) return;
  ending_ = true;
  boost::asio::post(io_, [this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) end();
  });
}

void EpochCycle::end() {
  ending_ = false;
  if (lost_) return;
  if (!owed_) {
    due_ = false;
    return tell_idle();
  }
  if (committing_) {
    due_ = true;
    return;
  }
  due_ = owed_ = false;
  timer_.cancel();
  if (auto ended = listener_.on_end(number_); !ended) {
    lost_ = true;
    return listener_.on_lost(ended.error());
  }
  const EpochNumber number = number_++;
  if (filling_.empty()) {
    durable(number);
    return tell_idle();
  }
  if (!acknowledges_too_early()) return hand_over(number);
  committing_ = true;  // the negative control: told first, committed later
  handed_over_ = std::chrono::steady_clock::now();
  durable(number);
  auto held = std::make_shared<store::Epoch>(std::exchange(filling_, {}));
  auto timer = std::make_shared<boost::asio::steady_timer>(io_, kBrokenDelay);
  timer->async_wait([this, timer, held, number, alive = std::weak_ptr(alive_)](boost::system::error_code) {
    if (alive.expired()) return;
    std::swap(filling_, *held);
    hand_over(number);
    std::swap(filling_, *held);
  });
}

void EpochCycle::hand_over(EpochNumber number) {
  committing_ = true;
  handed_over_ = std::chrono::steady_clock::now();
  committing_records_ = filling_.records();
  store_.commit(std::exchange(filling_, {}), [this, number, alive = std::weak_ptr(alive_), &io = io_](result<void> outcome) {
    boost::asio::post(io, [this, number, alive, outcome = std::move(outcome)] {  // this is the store's thread
      if (!alive.expired()) on_committed(number, outcome);
    });
  });
  fault_point("agent.epoch_handed_over");
}

void EpochCycle::on_committed(EpochNumber number, result<void> outcome) {
  RV_CHECK(committing_, "an epoch that was not handed over is not committed");
  if (!outcome) {
    lost_ = true;
    return listener_.on_lost(outcome.error());
  }
  committing_ = false;
  ++committed_;
  committed_records_ += committing_records_;
  if (!acknowledges_too_early()) durable(number);
  if (due_ || filling_.size_bytes() >= limits_.epoch_bytes) end();
  listener_.on_room();
  tell_idle();
}

void EpochCycle::durable(EpochNumber number) {
  fault_point("agent.epoch_durable");
  listener_.on_durable(number);
  fault_point("agent.acknowledged");
}

void EpochCycle::drain(std::function<void()> idle) {
  idle_ = std::move(idle);
  end_later();
}

void EpochCycle::tell_idle() {
  if (!idle_ || committing_ || owed_ || ending_) return;
  std::exchange(idle_, [] {})();  // stays set: nothing is accepted any more
}

std::int64_t EpochCycle::committing_for_ms() const {
  if (!committing_) return 0;
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - handed_over_).count();
}

}  // namespace rivulet::app
