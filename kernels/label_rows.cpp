// Rows of a table by label on the CPU. Threads take whole rows, or whole columns where rows are added up.
#include "kernels/label_rows.h"

#include "kernels/team.h"

#include <algorithm>

namespace ganforge {
namespace {

constexpr std::int64_t part_elements = 1 << 14;

}  // namespace

void gather_rows(const CpuStream& stream, const GatherRowsArgs& args) {
  const std::int64_t rows = std::max<std::int64_t>(1, part_elements / std::max<std::int64_t>(1, args.width));
  in_parts(stream, (args.rows + rows - 1) / rows, [&](std::int64_t part) {
    for (std::int64_t n = part * rows; n < std::min(args.rows, (part + 1) * rows); ++n) {
      const std::int64_t label = args.labels[n];
      float* y = args.y + n * args.width;
      if (label >= 0 && label < args.classes)
        std::copy_n(args.table + label * args.width, args.width, y);
      else
        std::fill_n(y, args.width, 0.0f);
    }
  });
}

void scatter_add_rows(const CpuStream& stream, const ScatterAddRowsArgs& args) {
  const std::int64_t columns = std::max<std::int64_t>(16, part_elements / std::max<std::int64_t>(1, args.rows));
  in_parts(stream, (args.width + columns - 1) / columns, [&](std::int64_t part) {
    const std::int64_t begin = part * columns, count = std::min(args.width - begin, columns);
    for (std::int64_t k = 0; k < args.classes; ++k) std::fill_n(args.table + k * args.width + begin, count, 0.0f);
    for (std::int64_t n = 0; n < args.rows; ++n) {
      const std::int64_t label = args.labels[n];
      if (label < 0 || label >= args.classes) continue;
      float* to = args.table + label * args.width + begin;
      const float* from = args.dy + n * args.width + begin;
      for (std::int64_t d = 0; d < count; ++d) to[d] += from[d];
    }
  });
}

}  // namespace ganforge
