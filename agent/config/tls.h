// How a connection is secured, and who logs in. Thread: any (plain data). Secrets never reach a log or a message (secret.h).
#pragma once
#include <string>

#include "agent/config/secret.h"

namespace rivulet::config {

struct Tls {
  std::string ca, certificate;
  std::string key;  // path
  bool verify = true;
};
struct Login {
  std::string username;
  Secret password;
};

}  // namespace rivulet::config
