// Poller: the thread of one connection. It polls the groups of the slaves behind it, each at its interval, and makes one record of each poll.
//
// A poll gives a whole record or none: a timeout, a bad answer or a lost connection ends it without one. An exception is an answer: the fields of that
// request are null; where every request is answered so there is no record. Requests with an illegal address are halved for the next poll
// (requests.h); a new connection begins again with whole ones.
// A serial line has nothing to close after a timeout: before the unit is polled again it has to answer a request that the late answer does not fit.
// Threads: constructor, start(), stop(), ended() and destructor on io, the rest its own. The destructor waits until a request that is under way ends: link.h
// says how long. Lifetime: Handover and Clock outlive it. Errors: counted by name, logged when they begin, end, and each kLogIntervalMs.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/log_limit.h"
#include "agent/config/modbus.h"
#include "agent/source/modbus/handover.h"
#include "agent/source/modbus/link.h"
#include "agent/source/modbus/requests.h"
#include "agent/source/modbus/schedule.h"

namespace rivulet::source::modbus {

class Poller {
 public:
  static constexpr std::int64_t kLogIntervalMs = 60'000;

  // `config` outlives it. `bus`: one of its buses, which slaves of it stand behind.
  Poller(const config::ModbusSource& config, std::size_t bus, std::string name, Handover& to, const Clock& clock);
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  result<void> start();
  void stop();         // returns at once
  bool ended() const { return !thread_.joinable() || ended_; }  // after stop(): the destructor does not wait

 private:
  struct Job {
    const config::ModbusSource::Group* group;
    std::size_t slave;
    std::string head;                 // {"slave":"meter-1","group":"power"
    std::vector<std::string> fields;  // ,"voltage":
    std::vector<Request> requests;
    bool halved = false;
  };

  void add_job(const config::ModbusSource::Group& group, std::size_t slave);
  std::vector<Schedule::Job> jobs_of() const;
  void run();
  bool wait_ms(std::int64_t ms);  // false: stop
  bool wait_us(std::int64_t us);
  bool stopping() const;

  void take_turn(const Schedule::Turn& turn);
  bool connect(Job& job);
  void poll(Job& job);
  Answer ask(const Request& request);
  Answer ask_twice(const Request& request);
  bool in_step(Job& job, std::uint8_t unit);  // false: this poll ends
  bool take(Job& job, const Request& request, std::vector<std::string>& values);  // false: this poll ends
  void failed(Job& job, const Request& request, const Answer& answer);
  void refused(const Job& job, const Request& request, const Answer& answer);  // an exception: its fields are null
  void hand_over(const Job& job, const std::vector<std::string>& values);
  void halve(Job& job);
  void well(std::size_t slave);
  void unwell(std::size_t slave, const std::string& what, std::int64_t pause_ms);
  const std::string& slave_name(std::size_t slave) const { return config_.slaves[slave].name.empty() ? name_ : config_.slaves[slave].name; }

  const config::ModbusSource& config_;
  const std::string name_;  // the source's
  Handover& to_;
  const Clock& clock_;
  Link link_;
  std::vector<Job> jobs_;
  std::unique_ptr<Schedule> schedule_;
  std::vector<bool> well_;  // of slaves: the last poll was answered
  LogLimit log_;
  std::vector<std::uint16_t> words_;
  std::vector<Request> to_halve_;
  std::map<std::uint8_t, Request> late_;  // of a serial line's units: what was asked last and not answered
  std::string refusal_;
  bool connected_ = false, any_value_ = false;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

}  // namespace rivulet::source::modbus
