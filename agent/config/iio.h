// What an iio source is told: which sensors of sysfs become which fields, and how often.
//
// Thread: any (plain data). Units: ms. A field is value * scale + offset, where the value of an IIO channel has the driver's own scale and
// offset in it already.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace rivulet::config {

struct IioSource {
  struct Field {
    std::string name;
    std::string channel;  // of the device, as in_temp; or
    std::string path;     // below root
    double scale = 1, offset = 0;
  };
  std::string root = "/sys";
  std::string device;  // an IIO device's name or label; or iio:device0
  std::int64_t interval_ms = 10'000;
  std::vector<Field> fields;
};

}  // namespace rivulet::config
