// Boost.Asio's TLS functions that are no templates, compiled once (agent/base/asio.cpp).
#include <boost/asio/ssl/impl/src.hpp>
