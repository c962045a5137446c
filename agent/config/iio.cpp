// A source's `iio`.
#include "agent/config/iio.h"

#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

#include "agent/config/sections.h"

namespace rivulet::config {
namespace {

constexpr std::size_t kMaxFields = 256, kMaxFieldBytes = 256;

double read_number(const Map& map, std::string_view key, double standard) {
  const auto value = map.get(key);
  const auto text = value ? value->text() : std::nullopt;
  if (!text) return standard;
  double number = 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), number);
  if (parsed.ec == std::errc() && parsed.ptr == text->data() + text->size() && std::isfinite(number)) return number;
  value->error("'" + text->substr(0, 60) + "' is not a number, expected one such as 0.001 or -40");
  return standard;
}

// Below `root`, which may stand before it.
std::string read_path(const Value& value, const std::string& root) {
  std::string path = value.text().value_or("");
  if (path.rfind(root + "/", 0) == 0) path = path.substr(root.size() + 1);
  if (path.empty() || path.front() == '/') value.error("is no path below " + root + ", expected one such as class/thermal/thermal_zone0/temp");
  else if (("/" + path + "/").find("/../") != std::string::npos || path.find('\0') != std::string::npos) value.error("leaves " + root);
  return path;
}

std::string read_channel(const Value& value) {
  std::string channel = value.text().value_or("");
  for (const std::string_view suffix : {"_raw", "_input"})
    if (channel.size() > suffix.size() && channel.compare(channel.size() - suffix.size(), suffix.size(), suffix) == 0) channel.resize(channel.size() - suffix.size());
  if (channel.rfind("in_", 0) != 0 || channel.find('/') != std::string::npos || channel.find('\0') != std::string::npos)
    value.error("is no channel, expected the name of an attribute without _raw, such as in_temp or in_voltage0");
  return channel;
}

IioSource::Field read_field(const std::string& name, const Value& value, const IioSource& iio) {
  IioSource::Field field;
  field.name = name;
  if (name.empty() || name.size() > kMaxFieldBytes) value.error("is no name of a field, expected 1 to " + std::to_string(kMaxFieldBytes) + " bytes");
  const Map map(value, schema::iio_field);
  const bool both = map.has("channel") && map.has("path");
  if (both || (!map.has("channel") && !map.has("path"))) value.error(both ? "has 'channel' and 'path', expected one of them" : "has neither 'channel' nor 'path', expected one of them");
  if (auto channel = map.get("channel")) {
    field.channel = read_channel(*channel);
    if (iio.device.empty()) channel->error("is of no device: 'device' is missing, expected the name of an IIO device such as bme280");
  }
  if (auto path = map.get("path")) field.path = read_path(*path, iio.root);
  field.scale = read_number(map, "scale", 1);
  field.offset = read_number(map, "offset", 0);
  map.done();
  return field;
}

}  // namespace

IioSource read_iio(const Value& value) {
  IioSource iio;
  const Map map(value, schema::iio);
  if (auto root = map.get("root")) {
    iio.root = root->text().value_or(iio.root);
    while (iio.root.size() > 1 && iio.root.back() == '/') iio.root.pop_back();
    if (iio.root.empty() || iio.root.front() != '/') root->error("is no absolute path");
  }
  if (auto device = map.get("device")) {
    iio.device = device->text().value_or("");
    if (iio.device.empty() || iio.device.find('/') != std::string::npos) device->error("is no name of a device, expected one such as bme280 (cat /sys/bus/iio/devices/*/name)");
  }
  if (auto interval = map.get("interval")) iio.interval_ms = interval->duration().value_or(iio.interval_ms);
  if (auto fields = map.need("fields", "a map of fields, such as {temperature: {channel: in_temp, scale: 0.001}}")) {
    for (const auto& [name, entry] : fields->entries()) iio.fields.push_back(read_field(name, entry, iio));
    if (iio.fields.empty()) fields->error("is empty, expected the fields of the record");
    if (iio.fields.size() > kMaxFields) fields->error("are more than " + std::to_string(kMaxFields) + "; make several sources of them");
  }
  map.done();
  return iio;
}

}  // namespace rivulet::config
