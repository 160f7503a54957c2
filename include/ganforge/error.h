// Exceptions of ganforge. Each message is one line: what is wrong, where, and what to do about it.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace ganforge {

/// Base of everything that ganforge throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Shapes or element types that do not meet; thrown while a graph is built.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// A device, driver or library call failed, or memory ran out; thrown at run time.
class DeviceError : public Error {
 public:
  using Error::Error;
};

/// A device has no room for an allocation.
class OutOfMemory : public DeviceError {
 public:
  OutOfMemory(const std::string& what, std::size_t bytes_asked, std::size_t bytes_free)
      : DeviceError(what), asked(bytes_asked), free(bytes_free) {}
  std::size_t asked, free;  ///< bytes
};

/// A file cannot be read or written, or its content is not what its format says. Names path and offset or line.
class FormatError : public Error {
 public:
  using Error::Error;
};

/// A configuration value is out of range or unknown.
class ConfigError : public Error {
 public:
  using Error::Error;
};

}  // namespace ganforge
