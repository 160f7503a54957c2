// Samples for a device.
#include <ganforge/data.h>
#include <ganforge/error.h>

#include <fmt/format.h>

namespace ganforge {
namespace {

/// A copy on a GPU; on the CPU the bytes themselves.
Buffer resident(Device& device, std::shared_ptr<const void> owner, const void* bytes, std::size_t count) {
  if (!device.is_cuda()) return Buffer(std::move(owner), bytes, count);
  Buffer buffer = device.allocate(count);
  device.upload(buffer.data(), bytes, count);
  return buffer;
}

bool stays_on_host(const Device& device, std::size_t bytes, Residency residency) {
  if (!device.is_cuda() || residency == Residency::device) return false;
  return residency == Residency::host || bytes > device.free_bytes() / 2;
}

}  // namespace

Dataset::Dataset(Device& device, HostDataset data, Residency residency)
    : name_(std::move(data.name)), sample_(data.sample), count_(data.count), classes_(std::move(data.classes)) {
  std::vector<std::int64_t> extents = {count_};
  extents.insert(extents.end(), sample_.extents().begin(), sample_.extents().end());
  const Type images{DType::uint8, Shape(extents)};
  if (stays_on_host(device, images.bytes(), residency)) {
    host_pixels_ = data.pixels;
  } else {
    images_ = std::make_unique<Variable>(Variable{
        "data/images", images, resident(device, data.pixels.owner(), data.pixels.data(), images.bytes()), false});
  }
  if (data.labels.empty()) return;
  const Type labels{DType::int32, {count_}};
  const auto held = std::make_shared<const std::vector<std::int32_t>>(std::move(data.labels));
  labels_ = std::make_unique<Variable>(
      Variable{"data/labels", labels, resident(device, held, held->data(), labels.bytes()), false});
}

Variable& Dataset::images() const {
  if (streamed()) throw DeviceError(fmt::format("the data of {} stay on the host: draw() brings them", name_));
  return *images_;
}

Dataset load_dataset(const std::string& name_or_path, Device& device, Residency residency) {
  return {device, find_dataset(name_or_path), residency};
}

}  // namespace ganforge
