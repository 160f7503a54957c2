#include "src/cli/allocations.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>

// A program's own malloc comes before the C library's, for every library in the process. AddressSanitizer does the
// same.
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define GANFORGE_COUNTS_ALLOCATIONS 1
#else
#define GANFORGE_COUNTS_ALLOCATIONS 0
#endif

#if GANFORGE_COUNTS_ALLOCATIONS
namespace {

std::atomic<std::uint64_t> allocations{0};

void count() {
  allocations.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

extern "C" {

void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) {
  count();
  return __libc_malloc(size);
}

void* calloc(std::size_t elements, std::size_t size) {
  count();
  return __libc_calloc(elements, size);
}

void* realloc(void* memory, std::size_t size) {
  count();
  return __libc_realloc(memory, size);
}

void* memalign(std::size_t alignment, std::size_t size) {
  count();
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return memalign(alignment, size);
}

int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  if (alignment % sizeof(void*) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
  void* result = memalign(alignment, size);
  if (!result) return ENOMEM;
  *memory = result;
  return 0;
}

}  // extern "C"
#endif

namespace ganforge {

std::optional<std::uint64_t> allocation_count() {
#if GANFORGE_COUNTS_ALLOCATIONS
  return allocations.load(std::memory_order_relaxed);
#else
  return std::nullopt;
#endif
}

}  // namespace ganforge
