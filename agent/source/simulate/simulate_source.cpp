#include "agent/source/simulate/simulate_source.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <sstream>

#include "agent/base/log.h"

namespace rivulet::source {
namespace {

constexpr std::string_view position = "n";
constexpr std::int64_t tick_ms = 20;
constexpr double most_a_tick = 2000;  // records in one go, so that other sources have their turn

}  // namespace

SimulateSource::SimulateSource(boost::asio::io_context& io, config::SimulateSource config, std::string name, Intake& intake)
    : config_(std::move(config)), name_(std::move(name)), intake_(intake), sensors_{config_.seed, config_.devices}, timer_(io) {}

void SimulateSource::load() {
  base_ms_ = intake_.clock().wall_ms();
  const auto& positions = intake_.positions_at_start();
  const auto found = positions.find(std::string(position));
  if (found == positions.end()) return;
  std::istringstream in(found->second);
  double rate = 0;
  std::uint64_t n = 0, base_n = 0;
  std::int64_t base_ms = 0;
  if (!(in >> n >> base_n >> base_ms >> rate) || base_n > n || !(rate > 0)) {
    log::error("{}: position {} is unreadable ({}); the sensors start from 1 again", name_, position, found->second);
    return;
  }
  n_ = n;
  base_n_ = base_n;
  base_ms_ = base_ms;
  if (rate == config_.rate_per_s) return;
  base_ms_ += static_cast<std::int64_t>(static_cast<double>(n - base_n) * 1000 / rate);  // another rate from here on
  base_n_ = n;
}

void SimulateSource::start() {
  load();
  last_tick_ms_ = intake_.clock().steady_ms();
  arm();
}

void SimulateSource::stop() {
  stopped_ = true;
  timer_.cancel();
}

void SimulateSource::on_room() { send(); }

void SimulateSource::arm() {
  if (stopped_ || finished()) return;
  timer_.expires_after(std::chrono::milliseconds(tick_ms));
  timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (error || alive.expired()) return;
    send();
    arm();
  });
}

void SimulateSource::send() {
  if (stopped_ || finished()) return;
  const auto now_ms = intake_.clock().steady_ms();
  due_ += config_.rate_per_s * static_cast<double>(now_ms - last_tick_ms_) / 1000;
  due_ = std::min(due_, std::max(config_.rate_per_s, 1.0));
  last_tick_ms_ = now_ms;
  const double most = std::min(due_, std::max(most_a_tick, config_.rate_per_s * tick_ms / 500));
  std::uint64_t sent = 0;
  while (static_cast<double>(sent + 1) <= most && !finished() && intake_.can_accept()) {
    ++sent;
    ++n_;
    sensors_.record(n_, timestamp_ms(n_), record_);
    intake_.accept({record_, {}});
  }
  if (sent == 0) return;
  due_ -= static_cast<double>(sent);
  intake_.set_position(position, fmt::format("{} {} {} {}", n_, base_n_, base_ms_, config_.rate_per_s));
}

std::int64_t SimulateSource::timestamp_ms(std::uint64_t n) const {
  return base_ms_ + static_cast<std::int64_t>(static_cast<double>(n - base_n_) * 1000 / config_.rate_per_s);
}

std::string SimulateSource::state() const {
  return fmt::format("{} records of {} devices at {}/s{}", n_, config_.devices, config_.rate_per_s,
                     finished() ? ", finished" : stopped_ ? ", stopped" : "");
}

std::string describe_guarantee(const config::SimulateSource&) {
  return "exactly once: record n is the same for the same seed, and n is committed with it, so a restart goes on with "
         "exactly what was not committed.";
}

}  // namespace rivulet::source
