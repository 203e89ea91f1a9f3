/* SPDX-License-Identifier: MIT */
/* The machine as a whole: devices. */
#include "host/manager_impl.h"
#include "host/sized.h"

#include <errno.h>

static const char *const no_params[] = {NULL};

int hvs_manager_set_machine(struct hvs_manager *m, const struct hvs_manager_machine_ops *ops,
			    void *arg)
{
	struct hvs_manager_machine_ops copy;
	int err;

	if (!m)
		return -EINVAL;
	err = hvsi_host_copy_sized(&copy, sizeof(copy), ops, sizeof(copy));
	if (!err && copy.reserved)
		err = -EINVAL;
	if (err)
		return err;
	m->machine = copy;
	m->machine_arg = arg;
	return 0;
}

static void run_devices(void *arg, struct hvs_call *call)
{
	const struct hvs_manager *m = arg;
	struct json_object *result;
	struct json_object *disks;
	struct json_object *nets;

	if (!hvs_call_only(call, no_params))
		return;
	result = json_object_new_object();
	disks = json_object_new_array();
	nets = json_object_new_array();
	if (m->machine.devices && disks && nets)
		m->machine.devices(m->machine_arg, disks, nets);
	hvsi_json_add(result, "disks", disks);
	hvsi_json_add(result, "nets", nets);
	hvs_call_return(call, result);
}

static const struct hvs_method methods[] = {
	{"devices", HVS_ROLES_INSPECT, 0, run_devices},
};

int hvsi_info_methods(struct hvs_manager *m)
{
	return hvs_manager_add_methods(m, methods, sizeof(methods) / sizeof(methods[0]), m);
}
