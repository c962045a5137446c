// Agent's part in a reload: pause, resume, the change-over, and sources that are over and have not ended yet.

#include <algorithm>
#include <chrono>
#include <utility>

#include "agent/app/agent.h"
#include "agent/base/check.h"

namespace rivulet::app {
namespace {

constexpr std::chrono::milliseconds kRetire{100};  // as at the end: for acknowledgements on their way to the sockets
constexpr std::chrono::milliseconds kLookAtRetired{20};

}  // namespace

void Agent::take_over() {
  Agent& before = *parts_.before;
  RV_CHECK(before.settled(), "a source changes its agent only when all that it brought is durable");
  Snapshot last;
  before.describe(last);
  for (const PipelineSnapshot& pipeline : last.pipelines) before_.pipelines[pipeline.name] = pipeline.counts;
  before_.steps = last.steps;
  before_.totals = last.totals;
  before_.epochs = last.epochs;
  before_.stored = last.stored;
  before_.quarantined = last.quarantined;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    const std::string& name = parts_.config.sources[i].name;
    const auto& old = before.parts_.config.sources;
    const auto at = static_cast<std::size_t>(std::find_if(old.begin(), old.end(), [&](const config::Source& one) { return one.name == name; }) - old.begin());
    if (sources_[i].source == nullptr) {
      sources_[i] = std::move(before.sources_.at(at));
      sources_[i].intake->move_to(shared_, i, parts_.config.sources[i], streams_of(i));
      if (!sources_[i].source->ready()) shared_.first.push_back(i);
    } else if (at < old.size() && old[at].type.index() == parts_.config.sources[i].type.index()) {
      sources_[i].intake->count_on_from(*before.sources_[at].intake);
    }
  }
  retired_.splice(retired_.end(), before.retired_);
  retire(before.sources_, before.parts_.config.sources);
  parts_.before = nullptr;
  parts_.keeps = nullptr;
}

void Agent::retire(std::vector<Attached>& sources, const std::vector<config::Source>& named) {
  for (std::size_t i = 0; i < sources.size(); ++i) {
    Attached& each = sources[i];
    if (each.source == nullptr) continue;
    if (each.started) each.source->stop();
    each.intake->close();
    retired_.push_back({std::move(each), named[i].name, std::chrono::steady_clock::now() + kRetire});
  }
  look_at_retired();
}

// What has not ended is never waited for here, which would hold up everything else.
void Agent::look_at_retired() {
  const auto now = std::chrono::steady_clock::now();
  retired_.remove_if([now](const Retired& each) { return now >= each.until && each.source.source->ended(); });
  start_those_that_may();
  if (retired_.empty()) return;
  retired_timer_.expires_after(kLookAtRetired);
  retired_timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (!error && !alive.expired() && !stopping_) look_at_retired();
  });
}

// The two would fight for one device, port or lock.
const Agent::Retired* Agent::waits_for(std::size_t source) const {
  if (sources_[source].started) return nullptr;
  const auto found = std::find_if(retired_.begin(), retired_.end(), [&](const Retired& each) { return each.name == parts_.config.sources[source].name && !each.source.source->ended(); });
  return found == retired_.end() ? nullptr : &*found;
}

void Agent::pause(std::function<void()> settled) { cycle_.drain(std::move(settled)); }

void Agent::resume() {
  cycle_.resume();
  look_for_room();
}

void Agent::start_those_that_may() {
  for (std::size_t i = 0; i < sources_.size() && shared_.open; ++i)
    if (!sources_[i].started && waits_for(i) == nullptr) {
      sources_[i].started = true;
      sources_[i].source->start();
    }
}

}  // namespace rivulet::app
