#include "agent/source/modbus/poller.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <system_error>
#include <utility>

#include "agent/base/log.h"
#include "agent/codec/json.h"
#include "agent/source/modbus/registers.h"

namespace rivulet::source::modbus {
namespace {

constexpr int kIllegalAddress = 2, kGatewayPath = 10, kGatewayTarget = 11;  // Modbus Application Protocol 1.1b3, 7

}  // namespace

Poller::Poller(const config::ModbusSource& config, std::size_t bus, std::string name, Handover& to, const Clock& clock)
    : config_(config),
      name_(std::move(name)),
      to_(to),
      clock_(clock),
      link_(config.buses[bus], config.timeout_ms),
      well_(config.slaves.size(), true),
      log_({.burst = 2, .interval_ms = kLogIntervalMs, .keys = 256}, [this](const std::string& slave, std::uint64_t count) { log::warn("{}: {}: {} more messages like that", name_, slave, count); }) {
  for (const auto& group : config_.groups)
    for (const std::size_t slave : group.slaves)
      if (config_.slaves[slave].bus == bus) add_job(group, slave);
}

Poller::~Poller() {
  stop();
  if (thread_.joinable()) thread_.join();
}

void Poller::add_job(const config::ModbusSource::Group& group, std::size_t slave) {
  Job job{&group, slave, "{", {}, plan(group, config_.slaves[slave].unit, config_.gap, config_.max_registers)};
  const auto name_field = [&](const std::string& field, const std::string& text) {
    if (field.empty()) return;
    if (job.head.size() > 1) job.head += ',';
    codec::append_json_string(job.head, field);
    job.head += ':';
    codec::append_json_string(job.head, text);
  };
  name_field(config_.slave_field, slave_name(slave));
  name_field(config_.group_field, group.name);
  bool first = job.head.size() == 1;
  for (const auto& one : group.registers) {
    std::string& field = job.fields.emplace_back(std::exchange(first, false) ? "" : ",");
    codec::append_json_string(field, one.field);
    field += ':';
  }
  jobs_.push_back(std::move(job));
}

std::vector<Schedule::Job> Poller::jobs_of() const {
  std::vector<Schedule::Job> all;
  for (const Job& job : jobs_) {
    std::set<std::uint8_t> units;
    for (const Request& request : job.requests) units.insert(request.unit);
    all.push_back({job.group->interval_ms, {units.begin(), units.end()}});
  }
  return all;
}

result<void> Poller::start() {
  if (jobs_.empty()) return {};  // no group is for these slaves
  try {
    thread_ = std::thread([this] {
      run();
      ended_ = true;
    });
  } catch (const std::system_error& error) {
    return Error{ErrorCode::io, std::string("modbus: has no thread to poll with: ") + error.what() + "; raise TasksMax of the unit"};
  }
  return {};
}

void Poller::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  link_.interrupt();
}

bool Poller::stopping() const {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

bool Poller::wait_us(std::int64_t us) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, std::chrono::microseconds(us), [this] { return stopping_; });
}

bool Poller::wait_ms(std::int64_t ms) { return wait_us(ms * 1000); }

void Poller::run() {
  schedule_ = std::make_unique<Schedule>(jobs_of(), clock_.steady_ms());
  while (!stopping()) {
    const std::int64_t now_ms = clock_.steady_ms();
    log_.end_intervals(now_ms);
    const auto turn = schedule_->take(now_ms);
    if (turn) take_turn(*turn);
    else if (!wait_ms(schedule_->next_ms() - now_ms)) break;
  }
  link_.close();
}

void Poller::take_turn(const Schedule::Turn& turn) {
  Job& job = jobs_[turn.job];
  to_.count("polls_missed", turn.missed);
  if (turn.paused) return to_.count("polls_paused");
  if (!to_.has_room()) return to_.count("polls_skipped");
  if (connect(job)) poll(job);
}

bool Poller::connect(Job& job) {
  const auto opened = link_.open();
  if (stopping()) return false;
  if (opened) {
    if (!std::exchange(connected_, true)) {
      schedule_->connected();
      for (Job& each : jobs_)
        if (std::exchange(each.halved, false)) each.requests = plan(*each.group, config_.slaves[each.slave].unit, config_.gap, config_.max_registers);
    }
    return true;
  }
  connected_ = false;
  unwell(job.slave, opened.error().message, schedule_->not_connected(clock_.steady_ms()));
  to_.count("connect_failed");
  to_.count("polls_failed");
  return false;
}

void Poller::poll(Job& job) {
  std::vector<std::string> values(job.group->registers.size(), "null");
  to_halve_.clear();
  any_value_ = false;
  for (const Request& request : job.requests)
    if (!take(job, request, values)) return;
  if (any_value_) {
    well(job.slave);
    hand_over(job, values);
  } else {
    unwell(job.slave, "every request of group " + job.group->name + " is refused, with " + refusal_, 0);
    to_.count("polls_failed");
  }
  if (!to_halve_.empty()) halve(job);
}

Answer Poller::ask(const Request& request) {
  words_.assign(request.count, 0);
  return link_.read(request.unit, request.kind, request.address, words_);
}

// On a serial line once more, when the line is silent, where the answer was noise or the late one of another unit.
Answer Poller::ask_twice(const Request& request) {
  Answer answer = ask(request);
  if (answer.kind != Answer::Kind::bad_response || !link_.serial() || stopping()) return answer;
  to_.count("bad_responses");
  link_.settle();
  return ask(request);
}

bool Poller::in_step(Job& job, std::uint8_t unit) {
  const auto late = late_.find(unit);
  if (late == late_.end()) return true;
  const Request probe = unlike(late->second);
  const Answer answer = ask_twice(probe);
  if (stopping()) return false;
  if (answer.kind == Answer::Kind::ok || answer.kind == Answer::Kind::exception) {
    late_.erase(late);
    return true;
  }
  failed(job, probe, answer);
  return false;
}

bool Poller::take(Job& job, const Request& request, std::vector<std::string>& values) {
  if (const std::int64_t silence_us = std::max(link_.silence_us(), config_.pause_ms * 1000); silence_us > 0 && !wait_us(silence_us)) return false;
  if (!in_step(job, request.unit)) return false;
  const Answer answer = ask_twice(request);
  if (stopping()) return false;
  const bool dead = answer.kind == Answer::Kind::exception && (answer.code == kGatewayPath || answer.code == kGatewayTarget);
  if (answer.kind == Answer::Kind::exception) {
    to_.count("exceptions");
    to_.count("exception_" + std::to_string(answer.code));
  }
  if (answer.kind == Answer::Kind::ok || (answer.kind == Answer::Kind::exception && !dead)) schedule_->answered(request.unit);
  if (answer.kind == Answer::Kind::exception && !dead) {
    refused(job, request, answer);
    return true;
  }
  if (answer.kind != Answer::Kind::ok) {
    failed(job, request, answer);
    return false;
  }
  any_value_ = true;
  for (const std::uint16_t field : request.fields) {
    const auto& one = job.group->registers[field];
    values[field].clear();
    append_value(values[field], one, std::span(words_).subspan(static_cast<std::size_t>(one.address - request.address), one.count));
  }
  return true;
}

void Poller::refused(const Job& job, const Request& request, const Answer& answer) {
  refusal_ = answer.what;
  if (answer.code == kIllegalAddress && request.fields.size() > 1) to_halve_.push_back(request);
  const bool one = request.fields.size() == 1;
  if (log_.allow(slave_name(job.slave) + "/" + job.group->name + "/" + std::to_string(request.address), clock_.steady_ms()))
    log::warn("{}: {}: {} for register{} {}{} of group {} (unit {}); {}", name_, slave_name(job.slave), answer.what, one ? "" : "s", request.address,
                 one ? "" : "-" + std::to_string(request.address + request.count - 1), job.group->name, request.unit, one ? "its field is null" : "their fields are null");
}

void Poller::failed(Job& job, const Request& request, const Answer& answer) {
  using Kind = Answer::Kind;
  if (!link_.serial() && answer.kind != Kind::exception) link_.close();
  if (link_.serial() && answer.kind == Kind::timeout) late_[request.unit] = request;
  if (link_.serial() && answer.kind == Kind::lost) link_.close();
  if (link_.serial() && answer.kind == Kind::bad_response) link_.settle();
  connected_ = connected_ && answer.kind != Kind::lost;
  const bool at_once = answer.kind == Kind::bad_response || answer.kind == Kind::lost;  // no time was waited for it
  unwell(job.slave, answer.what + " (unit " + std::to_string(request.unit) + ", group " + job.group->name + ")", schedule_->failed(request.unit, clock_.steady_ms(), at_once));
  to_.count("polls_failed");
  if (answer.kind == Kind::timeout) to_.count("timeouts");
  if (answer.kind == Kind::bad_response) to_.count("bad_responses");
  if (answer.kind == Kind::lost) to_.count("connection_lost");
}

void Poller::halve(Job& job) {
  std::vector<Request> requests;
  for (Request& request : job.requests) {
    const bool refused = std::any_of(to_halve_.begin(), to_halve_.end(), [&](const Request& one) { return one.unit == request.unit && one.kind == request.kind && one.address == request.address; });
    auto two = refused ? halves(request, *job.group) : std::nullopt;
    if (!two) {
      requests.push_back(std::move(request));
      continue;
    }
    requests.push_back(std::move(two->first));
    requests.push_back(std::move(two->second));
  }
  job.requests = std::move(requests);
  job.halved = true;
}

void Poller::hand_over(const Job& job, const std::vector<std::string>& values) {
  Handover::Record record{job.head, slave_name(job.slave) + "/" + job.group->name, clock_.wall_ms()};
  for (std::size_t i = 0; i < values.size(); ++i) {
    record.payload += job.fields[i];
    record.payload += values[i];
  }
  record.payload += '}';
  to_.put(std::move(record));
}

void Poller::well(std::size_t slave) {
  to_.say(slave, {true, ""});
  if (well_[slave]) return;
  well_[slave] = true;
  if (log_.allow(slave_name(slave) + " is well", clock_.steady_ms())) log::info("{}: {} answers again", name_, slave_name(slave));
}

void Poller::unwell(std::size_t slave, const std::string& what, std::int64_t pause_ms) {
  to_.say(slave, {false, what});
  well_[slave] = false;
  if (log_.allow(slave_name(slave), clock_.steady_ms()))
    log::warn("{}: {}: {}{}", name_, slave_name(slave), what, pause_ms > 0 ? "; it is asked again in " + std::to_string(pause_ms / 1000) + " s" : "");
}

}  // namespace rivulet::source::modbus
