// UnixSource: a unix-domain socket, for programs on the same machine: a stream (all is StreamServer's) or datagrams.
//
// The sender, as the kernel vouches for it (uid:1000/pid:4711), is the topic. Thread: io. Errors: a path that cannot be had (somebody listens there,
// no folder, no permission) is named in state() and tried again each second. Lifetime: the io_context and the Intake outlive it.
#pragma once
#include <memory>
#include <string>

#include "agent/config/source.h"
#include "agent/source/source.h"

namespace boost::asio {
class io_context;
}

namespace rivulet::source {

std::unique_ptr<Source> make_unix_source(boost::asio::io_context& io, const config::UnixSource& config, std::string name, Intake& intake);
std::string describe_guarantee(const config::UnixSource& config);

}  // namespace rivulet::source
