#include "agent/app/intake.h"

#include <algorithm>
#include <limits>

#include "agent/codec/json.h"

namespace rivulet::app {

bool AgentIntake::has_room() const {
  if (shared_ == nullptr || !shared_->open) return false;
  if (!shared_->first.empty() && std::find(shared_->first.begin(), shared_->first.end(), index_) == shared_->first.end()) return false;
  return shared_->cycle.can_accept() && !shared_->topology.pending() && shared_->topology.tables_ready() && !shared_->state_full() &&
         std::all_of(streams_.begin(), streams_.end(), [this](StreamId stream) { return shared_->store.has_room_for(stream); });
}

bool AgentIntake::can_accept() const {
  if (has_room()) {
    shared_->topology.begin_message();  // a source asks before each
    return true;
  }
  if (!std::exchange(waiting_, true) && shared_ != nullptr) shared_->refused();
  return false;
}

pipeline::Arrival AgentIntake::arrival(const source::Frame& frame) const {
  return {frame.payload, frame.topic, frame.timestamp_ms ? *frame.timestamp_ms : clock_.wall_ms(), frame.key, frame.null, frame.first_line};
}

source::Checked AgentIntake::check(const source::Frame& frame) {
  if (shared_ == nullptr) return {};  // nor is it accepted
  pipeline::Checked found = shared_->topology.check(index_, arrival(frame));
  return {found.records, std::move(found.reason), found.at};
}

void AgentIntake::accept(const source::Frame& frame) {
  if (shared_ == nullptr) return;  // it was refused before, and is not acknowledged
  ++records_;
  bytes_ += frame.payload.size();
  if (takes_any_bytes_ && !codec::is_utf8(frame.payload)) count("not_utf8", 1);
  shared_->topology.arrive(index_, arrival(frame), shared_->outputs);
  shared_->cycle.grown();
  shared_->accepted();
}

// Who asks for the epoch's number waits for it, also when nothing has to be stored. A closed intake names one that never becomes durable.
EpochNumber AgentIntake::epoch() const {
  if (shared_ == nullptr) return std::numeric_limits<EpochNumber>::max();
  shared_->cycle.grown();
  return shared_->cycle.number();
}

void AgentIntake::set_position(std::string_view key, std::string_view value) {
  if (shared_ == nullptr) return;
  shared_->cycle.filling().set_position(name_, key, value);
  shared_->cycle.grown();
}

void AgentIntake::erase_position(std::string_view key) {
  if (shared_ == nullptr) return;
  shared_->cycle.filling().erase_position(name_, key);
  shared_->cycle.grown();
}

void AgentIntake::commit_soon() {
  if (shared_ != nullptr) shared_->cycle.commit_soon();
}

void AgentIntake::move_to(const Shared& shared, std::size_t index, const config::Source& source, std::vector<StreamId> streams) {
  shared_ = &shared;
  index_ = index;
  takes_any_bytes_ = takes_any_bytes(source);
  streams_ = std::move(streams);
}

void AgentIntake::count_on_from(const AgentIntake& before) {
  records_ = before.records_;
  bytes_ = before.bytes_;
  events_ = before.events_;
}

void AgentIntake::count(std::string_view what, std::uint64_t by) {
  if (const auto found = events_.find(what); found != events_.end()) {
    found->second += by;
    return;
  }
  events_[events_.size() < kMaxEvents ? std::string(what) : std::string("other")] += by;
}

}  // namespace rivulet::app
