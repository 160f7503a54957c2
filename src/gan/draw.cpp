// The prologue of a step: what it draws from the data and from noise.
#include "kernels/prologue.h"
#include "src/gan/batch_feed.h"
#include "src/gan/shapes.h"

#include <ganforge/error.h>
#include <ganforge/gan.h>

#include <fmt/format.h>

namespace ganforge {
namespace {

/// Where streamed batches arrive; the programs of a store that draw the same from the same data share it.
Variable& staged_batches(VariableStore& store, const Dataset& data, std::int64_t rows, const Variable& tick,
                         const Variable& cursor) {
  const std::string name = fmt::format("data/staged/{}/{}", fmt::ptr(data.host_pixels().data()), rows);
  Variable& staged = store.variable(name, {DType::uint8, batched(2, batched(rows, data.sample()))}, false);
  if (!staged.feed) staged.feed = std::make_unique<BatchFeed>(store, staged, data, tick, cursor);
  return staged;
}

}  // namespace

Drawn draw(Context& context, const Dataset& data, const DrawOptions& options) {
  Graph& graph = context.graph();
  VariableStore& store = context.store();
  if (options.rows > data.count())
    throw ConfigError(fmt::format("a step draws {} samples, but {} has {}", options.rows, data.name(), data.count()));
  const Type counter{DType::int64, {}};
  Variable& tick = store.variable(tick_variable, counter);
  Variable& cursor = store.variable(cursor_variable, counter);
  Variable& statistics = store.variable(statistics_variable, {DType::float32, {statistics_slots * statistics_stride}});
  Variable& ring = store.variable(ring_variable, {DType::float32, {ring_rows, statistics_slots}});
  Variable& ring_tick = store.variable(ring_tick_variable, {DType::int64, {ring_rows}});

  PrologueOptions prologue_options;
  prologue_options.seed = store.seed();
  prologue_options.rows = options.rows;
  prologue_options.staged = data.streamed();
  prologue_options.scale = (options.high - options.low) / 255.0f;
  prologue_options.shift = options.low;
  prologue_options.latents = options.latents;
  prologue_options.schedules = options.schedules;
  const PrologueState state{graph.read(tick), graph.read(cursor), graph.read(statistics), graph.read(ring),
                            graph.read(ring_tick)};
  Value images;
  if (options.rows > 0)
    images = graph.read(data.streamed() ? staged_batches(store, data, options.rows, tick, cursor) : data.images());
  const Value labels = options.rows > 0 && options.labels ? graph.read(data.labels()) : Value();
  const PrologueResult result = prologue(state, images, labels, prologue_options);
  graph.assign(tick, result.state.tick);
  graph.assign(cursor, result.state.cursor);
  graph.assign(ring, result.state.ring);
  graph.assign(ring_tick, result.state.ring_tick);
  return {result.x, result.labels, result.latents, result.schedules};
}

}  // namespace ganforge
