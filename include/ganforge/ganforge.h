// Everything.
#pragma once

#include <ganforge/config.h>
#include <ganforge/data.h>
#include <ganforge/device.h>
#include <ganforge/downsample.h>
#include <ganforge/error.h>
#include <ganforge/gan.h>
#include <ganforge/graph.h>
#include <ganforge/layers.h>
#include <ganforge/ops.h>
#include <ganforge/program.h>
#include <ganforge/store.h>
