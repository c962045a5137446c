// ${env:NAME} and ${file:PATH} inside a value; $${ stands for ${. A file's trailing newline is cut.
// Errors name the variable or path, never a content; io: a file that cannot be read. Bound: 64 KiB a file.
#pragma once
#include <string>

#include "agent/base/result.h"

namespace rivulet::config {

result<std::string> substitute(const std::string& text);

// A message with `shown` in place of each quote that tells, whole or in part, what ${env:} and ${file:} of `text` stand for.
std::string without_content(std::string message, const std::string& text, const std::string& shown);

}  // namespace rivulet::config
