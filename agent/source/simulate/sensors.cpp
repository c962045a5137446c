#include "agent/source/simulate/sensors.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>

namespace rivulet::source {
namespace {

enum Stream : std::uint64_t { phase = 1, noise, walk, step, fault };

constexpr double period = 600;          // a device's records in one turn of the sine
constexpr std::uint64_t step_length = 50;   // records on one level
constexpr std::uint64_t fault_block = 20;   // records that a stuck device repeats
constexpr std::uint64_t one_in = 200;

std::uint64_t mix(std::uint64_t x) {  // splitmix64's finaliser
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

struct Dice {
  std::uint64_t seed, device;
  std::uint64_t whole(Stream stream, std::uint64_t at) const {
    return mix(mix(mix(seed) ^ (device << 8 | stream)) ^ at);
  }
  double unit(Stream stream, std::uint64_t at) const {  // [-1, 1)
    return static_cast<double>(whole(stream, at) >> 11) * 0x1p-52 - 1.0;
  }
};

// A walk that can be asked for any place without the way to it: noise on five scales, each smooth between its points.
double random_walk(const Dice& dice, std::uint64_t at) {
  double height = 0;
  for (std::uint64_t octave = 0; octave < 5; ++octave) {
    const std::uint64_t width = 1ULL << (2 * octave + 1);
    const std::uint64_t left = at / width;
    const double place = static_cast<double>(at % width) / static_cast<double>(width);
    const double from = dice.unit(walk, octave << 56 | left), to = dice.unit(walk, octave << 56 | (left + 1));
    height += (from + (to - from) * place) * static_cast<double>(octave + 1);
  }
  return height;  // within 15
}

}  // namespace

void Sensors::record(std::uint64_t n, std::int64_t timestamp_ms, std::string& out) const {
  const std::uint64_t device = n % std::max(devices, 1U);
  const std::uint64_t turn = n / std::max(devices, 1U);  // this device's count of records
  const Dice dice{seed, device};
  const auto sine = [&](std::uint64_t at) {
    const double angle = 2 * std::numbers::pi * (static_cast<double>(at) / period + dice.unit(phase, 0));
    return 20 + 8 * std::sin(angle) + 0.3 * dice.unit(noise, at);
  };
  const char* status = "ok";
  double temperature = sine(turn);
  const std::uint64_t luck = dice.whole(fault, turn) % one_in;
  const std::uint64_t block = turn / fault_block;
  if (dice.whole(fault, ~block) % one_in == 0) {
    status = "stuck";
    temperature = sine(block * fault_block);
  } else if (luck == 0) {
    status = "spike";
    temperature += 60 * dice.unit(fault, turn) + 100;
  } else if (luck == 1) {
    status = "null";
  }
  out.clear();
  const auto to = std::back_inserter(out);
  fmt::format_to(to, R"({{"device":"dev-{:03}","n":{},"ts":{},"temperature":)", device, n, timestamp_ms);
  if (luck == 1 && status[0] == 'n') {
    out += "null";
  } else {
    fmt::format_to(to, "{:.2f}", temperature);
  }
  fmt::format_to(to, R"(,"pressure":{:.1f},"level":{},"status":"{}"}})", 1013 + random_walk(dice, turn),
                 dice.whole(step, turn / step_length) % 10 * 10, status);
}

}  // namespace rivulet::source
