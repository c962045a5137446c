// The one place that knows every type of source.
#pragma once
#include <memory>
#include <string>

#include "agent/config/source.h"
#include "agent/kafka/connection.h"
#include "agent/source/source.h"

namespace boost::asio {
class io_context;
}

namespace rivulet::source {

// The source that `source` describes. It takes nothing in before start(). io_context and Intake outlive it.
// `connection`: a kafka source needs it.
std::unique_ptr<Source> make_source(boost::asio::io_context& io, const config::Source& source, const std::string& agent_id,
                                    Intake& intake, const kafka::Connection* connection = nullptr);

// What `rivulet explain` says about its records: exactly once, at least once, or what can be lost, and when.
std::string guarantee(const config::Source& source);

}  // namespace rivulet::source
