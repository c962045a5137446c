#include "agent/pipeline/aggregate/wide.h"

#include <array>
#include <charconv>

namespace rivulet::pipeline::aggregate {

double Wide::as_double() const {
  if (fits()) return static_cast<double>(narrow());
  return static_cast<double>(high) * 18446744073709551616.0 + static_cast<double>(low);
}

void Wide::append(std::string& to) const {
  char digits[24];
  if (fits()) {
    to.append(digits, std::to_chars(digits, digits + sizeof digits, narrow()).ptr);
    return;
  }
  Wide magnitude = *this;
  if (high < 0) {
    to += '-';
    magnitude = {~low, ~high};
    magnitude.add(of(1));
  }
  const auto top = static_cast<std::uint64_t>(magnitude.high);
  std::array<std::uint32_t, 4> limbs = {static_cast<std::uint32_t>(top >> 32), static_cast<std::uint32_t>(top), static_cast<std::uint32_t>(magnitude.low >> 32),
                                        static_cast<std::uint32_t>(magnitude.low)};
  std::string reversed;
  for (int digit = 0; digit < 40; ++digit) {  // 2^127 has 39
    std::uint64_t rest = 0;
    for (std::uint32_t& limb : limbs) {
      const std::uint64_t part = rest << 32 | limb;
      limb = static_cast<std::uint32_t>(part / 10);
      rest = part % 10;
    }
    reversed += static_cast<char>('0' + rest);
  }
  while (reversed.size() > 1 && reversed.back() == '0') reversed.pop_back();
  to.append(reversed.rbegin(), reversed.rend());
}

}  // namespace rivulet::pipeline::aggregate
