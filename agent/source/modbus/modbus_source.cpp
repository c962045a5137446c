#include "agent/source/modbus/modbus_source.h"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "agent/base/log.h"

namespace rivulet::source {

using modbus::Handover;

ModbusSource::ModbusSource(boost::asio::io_context& io, config::ModbusSource config, std::string name, Intake& intake)
    : io_(io), config_(std::move(config)), name_(std::move(name)), intake_(intake), handover_(config_.slaves.size(), [this] {
        boost::asio::post(io_, [this, alive = std::weak_ptr(alive_)] {
          if (!alive.expired()) drain();
        });
      }) {
  for (std::size_t bus = 0; bus < config_.buses.size(); ++bus)
    pollers_.push_back(std::make_unique<modbus::Poller>(config_, bus, name_, handover_, intake_.clock()));
}

// All are told before one is waited for.
ModbusSource::~ModbusSource() { ModbusSource::stop(); }

void ModbusSource::start() {
  if (stopped_) return;
  for (const auto& poller : pollers_)
    if (auto started = poller->start(); !started) {
      problem_ = started.error().message;
      log::error("{}: {}", name_, problem_);
    }
}

void ModbusSource::stop() {
  stopped_ = true;
  for (const auto& poller : pollers_) poller->stop();
}

bool ModbusSource::ended() const {
  return std::all_of(pollers_.begin(), pollers_.end(), [](const auto& poller) { return poller->ended(); });
}

void ModbusSource::drain() {
  const auto count = [this] {
    for (const auto& [what, by] : handover_.take_counts()) intake_.count(what, by);
  };
  count();
  while (!stopped_) {
    if (!waiting_ && !(waiting_ = handover_.take())) break;
    count();  // what was counted before it was put
    if (!intake_.can_accept()) break;  // on_room() comes back here
    Frame frame;
    frame.payload = waiting_->payload;
    frame.topic = waiting_->topic;
    frame.timestamp_ms = waiting_->timestamp_ms;
    intake_.accept(frame);
    ++records_;
    waiting_.reset();
  }
  handover_.set_room(!waiting_);
}

void ModbusSource::on_room() { drain(); }

// One slave of several that does not answer is named in state(); the others are read.
bool ModbusSource::in_trouble() const {
  if (!problem_.empty()) return true;
  const auto health = handover_.health();
  return std::none_of(health.begin(), health.end(), [](const Handover::Health& one) { return one.answers; }) &&
         std::any_of(health.begin(), health.end(), [](const Handover::Health& one) { return !one.what.empty(); });
}

std::string ModbusSource::state() const {
  if (!problem_.empty()) return problem_;
  const auto health = handover_.health();
  const auto answer = std::count_if(health.begin(), health.end(), [](const Handover::Health& one) { return one.answers; });
  std::string text = std::to_string(answer) + " of " + std::to_string(health.size()) + " slaves answer, " + std::to_string(records_) + " records";
  for (std::size_t i = 0; i < health.size(); ++i)
    if (!health[i].what.empty()) return text + "; " + (config_.slaves[i].name.empty() ? name_ : config_.slaves[i].name) + ": " + health[i].what;
  return text;
}

std::string describe_guarantee(const config::ModbusSource& config) {
  std::string text =
      "at most once: a register holds its value of now and no other. Lost is what a slave held between two polls, polls that failed (polls_failed; polls_paused while it "
      "is left alone), that came too late (polls_missed) or for which the agent had no room (polls_skipped), and what was read and not yet committed (up to "
      "agent.commit_interval) when it is killed.";
  for (std::size_t bus = 0; bus < config.buses.size(); ++bus) {
    std::string names;
    std::size_t slaves = 0;
    for (const auto& slave : config.slaves)
      if (slave.bus == bus) {
        names += (slaves++ == 0 ? "" : ", ") + (slave.name.empty() ? "unit " + std::to_string(slave.unit) : slave.name);
      }
    text += "\n  connection " + config.buses[bus].name() + ", a thread: " + names;
    if (slaves > 1)
      text += ". They wait for each other, as on the wire: one that does not answer costs the others " + std::to_string(config.timeout_ms) + " ms, and is left alone then for " +
              std::to_string(modbus::Schedule::kFirstPauseMs / 1000) + " s, doubled each time up to " + std::to_string(modbus::Schedule::kLongestPauseMs / 1000) + " s, before one poll asks it again";
  }
  if (config.buses.size() > 1) text += "\n  a slave that is slow or dead delays none that has another connection";
  return text;
}

}  // namespace rivulet::source
