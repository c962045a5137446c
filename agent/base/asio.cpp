// Boost.Asio's functions that are no templates, compiled once and not in every unit (BOOST_ASIO_SEPARATE_COMPILATION); those of TLS are in agent/net.
#include <boost/asio/impl/src.hpp>
