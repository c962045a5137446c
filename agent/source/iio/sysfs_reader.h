// SysfsReader: reads the fields of an iio source out of sysfs, each as the JSON number it is, or null and why.
//
// A channel of an IIO device is (raw + offset) * scale by the driver's attributes (Documentation/ABI/testing/sysfs-bus-iio), its own or those that it
// shares with its type; a channel that has only _input is that. Devices are found by name each time they are not where they were: their
// numbers change with each plugging in. A path may have * ? [ for the same reason (hwmon3); it must match one file.
// Thread: one, which may block in a driver (a conversion takes 750 ms on 1-Wire, a stuck I2C bus seconds). Bounds: kMaxText of a file.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/config/iio.h"

namespace rivulet::source {

struct Reading {
  std::string json = "null";
  std::string problem;  // empty: there is none
};
using Readings = std::vector<Reading>;  // as the fields

class SysfsReader {
 public:
  explicit SysfsReader(config::IioSource config) : config_(std::move(config)) {}
  Readings read();

 private:
  static constexpr std::size_t kMaxText = 128;

  result<std::string> find_device();
  bool is_device(const std::string& folder) const;
  Reading read_field(const config::IioSource::Field& field, const result<std::string>& device) const;

  config::IioSource config_;
  std::string device_;  // its folder when it was last seen
};

// The attributes that may hold `what` ("scale", "offset") of a channel, the nearest first: in_voltage0_scale, in_voltage_scale, in_scale.
std::vector<std::string> attributes_of(const std::string& channel, const std::string& what);

}  // namespace rivulet::source
