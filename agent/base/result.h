// result<T>: a value or an Error; what every room's door answers after start-up.
//
// Thread: any (values). Exceptions are for start-up only (configuration, opening files).
// An Error is returned or logged, never both.
#pragma once
#include <boost/system/result.hpp>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>

namespace rivulet {

// What a caller can do about it. The message is for a person: what happened, to what, what to do.
enum class ErrorCode {
  invalid,       // the input or configuration is wrong; trying again cannot help
  not_found,
  full,          // a stated bound is reached; room may come back
  unavailable,   // passing; try again later
  denied,        // authorisation
  corrupt,       // data is damaged
  unknown_fate,  // a write may or may not have happened: end the process and start from the store
  conflict,      // somebody else holds or changed it
  io,            // the operating system refused
};

struct Error {
  ErrorCode code = ErrorCode::invalid;
  std::string message;
};

inline std::ostream& operator<<(std::ostream& to, const Error& error) { return to << error.message; }

class ErrorException : public std::runtime_error {
 public:
  explicit ErrorException(Error error) : std::runtime_error(error.message), error_(std::move(error)) {}
  const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

// What result<T>::value() throws; Boost.System finds it by argument-dependent lookup.
[[noreturn]] inline void throw_exception_from_error(const Error& error, const boost::source_location&) {
  throw ErrorException(error);
}

template <class T>
using result = boost::system::result<T, Error>;

}  // namespace rivulet
