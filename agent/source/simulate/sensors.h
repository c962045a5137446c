// Sensors: simulated devices whose record n is a pure function of (seed, devices, n), so that a restart goes on exactly where
// it stopped and a reader can check what should have come.
//
//   {"device":"dev-003","n":17,"ts":1700000000170,"temperature":21.34,"pressure":1013.2,"level":40,"status":"ok"}
//
// Device n mod devices sends record n. temperature: a sine of one period in 600 records with noise; pressure: a random walk
// within bounds; level: steps. Faults, each on about one record in 200: a spike, a temperature of null, and a device that
// hangs (sends the same temperature for 20 of its records); `status` says which ("ok", "spike", "null", "stuck").
// ts = start_ms + n / rate. Thread: any.
#pragma once
#include <cstdint>
#include <string>

namespace rivulet::source {

struct Sensors {
  std::uint64_t seed = 1;
  std::uint32_t devices = 10;

  // Record n, from 1, as JSON into `out` (replaced, its memory reused).
  void record(std::uint64_t n, std::int64_t timestamp_ms, std::string& out) const;
};

}  // namespace rivulet::source
