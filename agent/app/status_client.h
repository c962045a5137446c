// http_get(): one GET of a status listener, for `rivulet status` and tests. Blocks at most about 5 s; at most 4 MiB.
#pragma once
#include <string>

#include "agent/base/result.h"

namespace rivulet::app {

struct HttpAnswer {
  int code = 0;
  std::string body;
};

// `listen` as in status.listen. not_found: nobody listens there.
result<HttpAnswer> http_get(const std::string& listen, const std::string& target, const std::string& accept);

}  // namespace rivulet::app
