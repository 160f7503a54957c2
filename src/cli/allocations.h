// How often this process allocates memory.
#pragma once

#include <cstdint>
#include <optional>

namespace ganforge {

/// Calls of malloc and its relatives so far, by any thread and library; nothing where they cannot be counted.
std::optional<std::uint64_t> allocation_count();

}  // namespace ganforge
