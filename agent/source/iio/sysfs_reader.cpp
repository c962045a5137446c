#include "agent/source/iio/sysfs_reader.h"

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <memory>
#include <string_view>

namespace rivulet::source {
namespace {

constexpr int kDigits = 15;  // what a double holds of any decimal: 2301 * 0.1 is 230.1

// What stands in a sysfs file: the number, and its text where it is a whole one.
struct Number {
  double value = 0;
  std::string whole;
};

result<std::string> read_text(const std::string& path, std::size_t most) {
  // Non-blocking: some drivers then answer EAGAIN instead of waiting. Only files: nothing that can hang is opened by a mistake in a path.
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0) return Error{errno == ENOENT || errno == ENODEV ? ErrorCode::not_found : ErrorCode::io, path + ": " + std::strerror(errno)};
  struct stat about {};
  std::string text(most + 1, '\0');
  if (::fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) {
    ::close(file);
    return Error{ErrorCode::invalid, path + " is no file"};
  }
  const auto got = ::read(file, text.data(), text.size());
  const int error = errno;
  ::close(file);
  if (got < 0) return Error{ErrorCode::io, path + ": " + std::strerror(error)};
  if (static_cast<std::size_t>(got) > most) return Error{ErrorCode::invalid, path + " is too long to be a number"};
  text.resize(static_cast<std::size_t>(got));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\0')) text.pop_back();
  return text;
}

result<Number> read_number(const std::string& path, std::size_t most) {
  auto text = read_text(path, most);
  if (!text) return text.error();
  std::string_view digits(*text);
  if (digits.substr(0, 1) == "+") digits.remove_prefix(1);
  Number number;
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, number.value);
  if (digits.empty() || parsed.ec != std::errc() || parsed.ptr != end || !std::isfinite(number.value)) return Error{ErrorCode::invalid, path + " holds no number"};
  std::int64_t whole = 0;
  if (const auto exact = std::from_chars(digits.data(), end, whole); exact.ec == std::errc() && exact.ptr == end) number.whole = std::to_string(whole);
  return number;
}

Reading reading_of(double value) {
  if (!std::isfinite(value)) return {"null", "its scale makes it too large for a number"};
  std::array<char, 40> text{};
  const auto written = std::to_chars(text.data(), text.data() + text.size(), value == 0 ? 0.0 : value, std::chars_format::general, kDigits);
  return {std::string(text.data(), written.ptr), {}};
}

// The first of the attributes that is there; `standard` where none is.
result<double> attribute(const std::string& folder, const std::vector<std::string>& names, double standard, std::size_t most) {
  for (const std::string& name : names) {
    auto number = read_number(folder + "/" + name, most);
    if (number) return number->value;
    if (number.error().code != ErrorCode::not_found) return number.error();
  }
  return standard;
}

result<Number> read_channel(const std::string& folder, const std::string& channel, std::size_t most) {
  auto raw = read_number(folder + "/" + channel + "_raw", most);
  if (!raw && raw.error().code == ErrorCode::not_found) {
    auto input = read_number(folder + "/" + channel + "_input", most);
    return !input && input.error().code == ErrorCode::not_found ? raw : input;
  }
  if (!raw) return raw;
  const auto offset = attribute(folder, attributes_of(channel, "offset"), 0, most);
  const auto scale = attribute(folder, attributes_of(channel, "scale"), 1, most);
  if (!offset) return offset.error();
  if (!scale) return scale.error();
  if (*scale == 1 && *offset == 0) return raw;
  return Number{(raw->value + *offset) * *scale, {}};
}

result<std::string> one_file(const std::string& path) {
  if (path.find_first_of("*?[") == std::string::npos) return path;
  glob_t found{};
  const int failed = ::glob(path.c_str(), 0, nullptr, &found);
  const std::size_t count = failed == 0 ? found.gl_pathc : 0;
  const std::string first = count > 0 ? found.gl_pathv[0] : "";
  ::globfree(&found);
  if (count == 1) return first;
  return Error{ErrorCode::not_found, path + (count == 0 ? " matches no file" : " matches " + std::to_string(count) + " files, expected one")};
}

}  // namespace

std::vector<std::string> attributes_of(const std::string& channel, const std::string& what) {
  std::vector<std::string> all = {channel + "_" + what};
  const std::size_t begin = 3;  // behind "in_"
  const auto type_at = [&](std::size_t at) { return channel.substr(at, channel.find_first_of("0123456789_-", at) - at); };
  const std::string type = type_at(std::min(begin, channel.size()));
  if (const std::size_t minus = channel.find('-'); minus != std::string::npos) all.push_back("in_" + type + "-" + type_at(minus + 1) + "_" + what);
  if (std::string shared = "in_" + type + "_" + what; shared != all.front()) all.push_back(std::move(shared));
  all.push_back("in_" + what);
  return all;
}

bool SysfsReader::is_device(const std::string& folder) const {
  if (folder.substr(folder.rfind('/') + 1) == config_.device) return ::access(folder.c_str(), F_OK) == 0;
  for (const char* attribute : {"/name", "/label"})
    if (const auto text = read_text(folder + attribute, kMaxText); text && *text == config_.device) return true;
  return false;
}

result<std::string> SysfsReader::find_device() {
  if (!device_.empty() && is_device(device_)) return device_;
  device_.clear();
  const std::string folder = config_.root + "/bus/iio/devices";
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(folder.c_str()), &::closedir);
  if (!listing) return Error{ErrorCode::not_found, folder + ": " + std::strerror(errno)};
  std::size_t found = 0;
  while (const dirent* entry = ::readdir(listing.get())) {
    const std::string path = folder + "/" + entry->d_name;
    if (std::string_view(entry->d_name).substr(0, 10) != "iio:device" || !is_device(path)) continue;
    ++found;
    device_ = path;
  }
  if (found == 1) return device_;
  device_.clear();
  if (found == 0) return Error{ErrorCode::not_found, "there is no IIO device '" + config_.device + "' in " + folder};
  return Error{ErrorCode::invalid, std::to_string(found) + " IIO devices are called '" + config_.device + "'; expected a label, or one such as iio:device0"};
}

Reading SysfsReader::read_field(const config::IioSource::Field& field, const result<std::string>& device) const {
  result<Number> number = Error{};
  if (field.channel.empty()) {
    const auto path = one_file(config_.root + "/" + field.path);
    number = path ? read_number(*path, kMaxText) : result<Number>(path.error());
  } else {
    number = device ? read_channel(*device, field.channel, kMaxText) : result<Number>(device.error());
  }
  if (!number) return {"null", number.error().message};
  if (field.scale == 1 && field.offset == 0 && !number->whole.empty()) return {number->whole, {}};
  return reading_of(number->value * field.scale + field.offset);
}

Readings SysfsReader::read() {
  const result<std::string> device = config_.device.empty() ? result<std::string>(Error{}) : find_device();
  Readings all;
  for (const auto& field : config_.fields) all.push_back(read_field(field, device));
  return all;
}

}  // namespace rivulet::source
