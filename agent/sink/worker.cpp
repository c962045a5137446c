#include "agent/sink/worker.h"

#include <boost/asio/post.hpp>
#include <pthread.h>
#include <signal.h>

#include <algorithm>

#include "agent/base/fault_point.h"
#include "agent/base/log.h"

namespace rivulet::sink {
namespace {

constexpr std::size_t kStretchBytes = 256 * 1024;
constexpr std::int64_t kRetryFirstMs = 250, kRetryMaxMs = 30'000;
constexpr std::int64_t kSteadyMs = 5000;  // open as long as this, then the next wait is the first again
constexpr std::int64_t kLongestWaitMs = 3'600'000;

}  // namespace

Worker::Worker(std::string pipeline, std::string destination, std::vector<StreamId> streams, store::Store& store, const Clock& clock, const MakeWriter& make)
    : pipeline_(std::move(pipeline)), destination_(std::move(destination)), ids_(std::move(streams)), store_(store), clock_(clock), work_(io_.get_executor()),
      writer_(make(io_, stop_)), random_(std::random_device{}()) {
  now_.pipeline = pipeline_;
  now_.destination = destination_;
  now_.state = "starting";
  status_ = now_;
}

Worker::~Worker() { stop(); }

void Worker::start() {
  if (!thread_.joinable()) thread_ = std::thread([this] {
      ::pthread_setname_np(::pthread_self(), "sink");
      sigset_t pipe;  // a reader that went away is an error of write(), not our end
      sigemptyset(&pipe);
      sigaddset(&pipe, SIGPIPE);
      ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
      run();
    });
}

void Worker::wake() {
  if (!woken_.exchange(true)) boost::asio::post(io_, [] {});
}

void Worker::ask_to_stop() {
  stop_ = true;
  boost::asio::post(io_, [] {});
}

void Worker::stop() {
  ask_to_stop();
  if (thread_.joinable()) thread_.join();
}

Status Worker::status() const {
  const std::scoped_lock lock(mutex_);
  Status copy = status_;
  if (!copy.trouble.empty()) copy.troubled_for_ms = std::max<std::int64_t>(1, clock_.steady_ms() - copy.troubled_for_ms);
  return copy;
}

void Worker::publish() {
  now_.backlog = 0;
  for (const store::StreamInfo& stream : streams_) now_.backlog += stream.waiting();
  if (now_.trouble.empty()) now_.state = writer_->ready() ? writer_->state() : "not open";
  now_.troubled_for_ms = troubled_since_ms_;  // status() makes a length of it
  const std::scoped_lock lock(mutex_);
  status_ = now_;
}

void Worker::run() {
  while (!stop_ && !lost_) {
    stale_ = woken_.exchange(false) || stale_;
    const bool may_try = clock_.steady_ms() >= retry_at_ms_;
    if (stale_) stale_ = !load();
    if (opened_ && !writer_->ready()) {
      trouble(writer_->ended());
    } else if (may_try && !writer_->ready()) {
      writer_->close();
      const auto opened = writer_->open();
      opened_ = opened.has_value();
      opened_at_ms_ = clock_.steady_ms();
      if (!opened) trouble(opened.error());
      else if (now_.backlog == 0) well();
    }
    const bool more = writer_->ready() && clock_.steady_ms() >= retry_at_ms_ && round();
    publish();
    hold();
    if (!more) wait();
  }
  writer_->close();
}

void Worker::wait() {
  const bool was_ready = writer_->ready();
  while (!stop_ && !woken_ && !lost_) {
    const std::int64_t left_ms = was_ready && retry_at_ms_ <= clock_.steady_ms() ? kLongestWaitMs : retry_at_ms_ - clock_.steady_ms();
    if (left_ms <= 0 || writer_->ready() != was_ready) return;
    io_.restart();
    io_.run_one_for(std::chrono::milliseconds(std::min(left_ms, kLongestWaitMs)));
  }
}

// How far the streams are now. What is acknowledged here may not be stored yet.
bool Worker::load() {
  auto all = store_.streams();
  if (!all) {
    trouble(all.error());
    return false;
  }
  std::vector<store::StreamInfo> mine;
  for (store::StreamInfo& stream : *all) {
    if (std::find(ids_.begin(), ids_.end(), stream.id) == ids_.end()) continue;
    for (const store::StreamInfo& before : streams_)
      if (before.id == stream.id) stream.acknowledged = std::max(stream.acknowledged, before.acknowledged);
    mine.push_back(std::move(stream));
  }
  streams_ = std::move(mine);
  publish();
  return true;
}

bool Worker::round() {
  bool more = false;
  for (store::StreamInfo& stream : streams_) {
    if (stop_ || stream.acknowledged >= stream.last) continue;
    if (!deliver(stream)) return false;
    more = more || stream.acknowledged < stream.last;
  }
  return more;
}

// False: not now.
bool Worker::deliver(store::StreamInfo& stream) {
  const auto packs = store_.read(stream.id, stream.acknowledged, kStretchBytes);
  if (!packs) return trouble(packs.error()), false;
  if (packs->empty()) return trouble({ErrorCode::corrupt, "the store has not the records that it should have"}), false;
  Delivery delivery = writer_->deliver({stream, *packs}, stop_);
  std::uint64_t missing = 0;
  for (const store::Pack& pack : *packs) {
    if (!pack.gap || delivery.up_to < pack.last) continue;
    missing += pack.last - pack.first + 1;
    log::warn("sink: {} of {}: records {} to {} are missing there: {}", destination_, stream.name, pack.first, pack.last, pack.gap_reason);
  }
  now_.missing += missing;
  const auto why = delivery.trouble;
  if (delivery.up_to > 0 && !acknowledge(stream, delivery)) return false;
  stream.gap_records -= std::min(stream.gap_records, missing);
  if (!why) {
    if (delivery.up_to > 0) well();
    return true;
  }
  if (!stop_) trouble(*why);
  return false;
}

bool Worker::acknowledge(store::StreamInfo& stream, Delivery& delivery) {
  if (!delivery.refused.empty()) {
    store::ForwardChange gaps;
    gaps.durable = false;
    for (auto& [sequence, reason] : delivery.refused) {
      log::warn("sink: {}: record {} is refused and goes to quarantine: {}", destination_, sequence, reason);
      gaps.gaps.push_back({stream.id, sequence, sequence, std::move(reason), true});
    }
    now_.refused += delivery.refused.size();
    if (auto done = store_.change(std::move(gaps)); !done) return trouble(done.error()), false;
  }
  // Needs no sync of its own: lost, the records are delivered again, and a file is cut to its position before.
  store::ForwardChange change;
  change.durable = false;
  change.acknowledged.push_back({stream.id, delivery.up_to});
  change.facts = std::move(delivery.facts);
  if (auto done = store_.change(std::move(change)); !done) return trouble(done.error()), false;
  fault_point("sink.acknowledged");
  now_.records += delivery.records;
  now_.bytes += delivery.bytes;
  stream.acknowledged = delivery.up_to;
  return true;
}

void Worker::trouble(const Error& error) {
  writer_->close();
  ++now_.errors;
  if (error.code == ErrorCode::unknown_fate) lost_ = true;  // the process ends for the epoch's sake
  if (now_.trouble.empty()) troubled_since_ms_ = clock_.steady_ms();
  now_.trouble = error.message;
  if (said_ != error.message) log::warn("sink: {}: {}; its records wait in the store, and it is tried again", destination_, error.message);
  said_ = error.message;
  if (opened_ && clock_.steady_ms() - opened_at_ms_ >= kSteadyMs) retry_ms_ = 0;
  opened_ = false;
  retry_ms_ = retry_ms_ == 0 ? kRetryFirstMs : std::min(retry_ms_ * 2, kRetryMaxMs);
  retry_at_ms_ = clock_.steady_ms() + retry_ms_ / 2 + static_cast<std::int64_t>(random_() % static_cast<unsigned>(retry_ms_));
}

void Worker::well() {
  if (!now_.trouble.empty()) log::info("sink: {} takes records again", destination_);
  now_.trouble.clear();
  said_.clear();
  retry_at_ms_ = troubled_since_ms_ = 0;
}

// While nothing goes on, what waits for it may fill half of the store, like a topic that takes nothing.
void Worker::hold() {
  const bool wanted = !now_.trouble.empty();
  if (wanted == held_) return;
  held_ = wanted;
  store_.hold("sink " + destination_ + " " + pipeline_, wanted ? std::set<StreamId>(ids_.begin(), ids_.end()) : std::set<StreamId>());
}

}  // namespace rivulet::sink
