// Catch2 v2 (Debian 12) and v3 (Debian 13) under one include for every test.
#pragma once
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Matchers::ContainsSubstring;
#else
#include <catch2/catch.hpp>
inline auto ContainsSubstring(const std::string& text) { return Catch::Matchers::Contains(text); }
#endif

#include "agent/base/result.h"

// A result in a failed check shows its error; its value need not be printable.
namespace Catch {
template <class T>
struct StringMaker<boost::system::result<T, rivulet::Error>> {
  static std::string convert(const boost::system::result<T, rivulet::Error>& given) {
    return given.has_value() ? "a value" : "error: " + given.error().message;
  }
};
}  // namespace Catch
