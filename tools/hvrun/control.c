/* SPDX-License-Identifier: MIT */
#include "control.h"

#include "nets.h"
#include "report.h"

#include <hvstack/host/backup.h>
#include <hvstack/host/kvm.h>
#include <hvstack/host/manager.h>
#include <hvstack/host/services.h>
#include <hvstack/hvstack.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

struct control {
	struct control_config cfg;
	struct hvs_manager *manager;
	struct hvs_manager_backup *backup;
};

static void on_log(void *arg, enum hvs_manager_log what, const char *text)
{
	(void)arg;
	if (what != HVS_MANAGER_CLIENT)
		report(0, "%s %s", what == HVS_MANAGER_ALLOWED ? "allowed:" : "denied:", text);
}

void control_call_done(void *arg)
{
	hvs_call_return(arg, NULL);
}

void control_call_end(struct hvs_call *call, bool ok, const char *why)
{
	if (ok)
		hvs_call_return(call, NULL);
	else
		hvs_call_fail(call, HVS_CALL_FAILED, "%s", why);
}

void control_call_list(struct hvs_call *call, const char *name, struct json_object *array)
{
	static const char *const params[] = {NULL};
	struct json_object *result;

	if (!hvs_call_only(call, params)) {
		json_object_put(array);
		return;
	}
	result = json_object_new_object();
	json_object_object_add(result, name, array);
	hvs_call_return(call, result);
}

void control_medium_ejected(struct control *control, const char *disk)
{
	struct json_object *event;

	if (!control)
		return;
	event = json_object_new_object();
	json_object_object_add(event, "disk", json_object_new_string(disk));
	hvs_manager_event(control->manager, "medium-ejected", event);
}

/* ---- the machine -------------------------------------------------------------------------------- */

static const char *state(void *arg)
{
	(void)arg;
	return "running";
}

static uint32_t vmbus_version(void *arg)
{
	const struct control *control = arg;

	return hvs_vmbus_guest_version(hvs_kvm_bus(control->cfg.kvm));
}

static uint64_t guest_os_id(void *arg)
{
	const struct control *control = arg;

	return hvs_kvm_guest_os_id(control->cfg.kvm);
}

static int enable_service(void *arg, enum hvs_ic_kind kind, bool enabled)
{
	const struct control *control = arg;

	if (kind == HVS_IC_VSS && !enabled)
		hvs_manager_backup_vss_gone(control->backup);
	return hvs_services_enable(control->cfg.services, kind, enabled);
}

struct search {
	const char *id;
	uint8_t *mac;
	struct hvs_guid *instance_id;
	bool found;
};

static void look_at(void *arg, const struct net_view *net)
{
	struct search *search = arg;

	if (strcmp(net->id, search->id) != 0)
		return;
	memcpy(search->mac, net->status.mac, 6);
	*search->instance_id = net->instance_id;
	search->found = true;
}

static bool find_net(void *arg, const char *id, uint8_t mac[6], struct hvs_guid *instance_id)
{
	const struct control *control = arg;
	struct search search = {.id = id, .mac = mac, .instance_id = instance_id};

	nets_visit(control->cfg.nets, look_at, &search);
	return search.found;
}

static void list_devices(void *arg, struct json_object *disks, struct json_object *nets)
{
	const struct control *control = arg;

	control_list_disks(control->cfg.disks, disks);
	control_list_nets(control->cfg.nets, nets);
}

static void put_metrics(void *arg, struct evbuffer *out)
{
	const struct control *control = arg;

	control_put_metrics(control->cfg.disks, control->cfg.nets, out);
}

static int describe_machine(struct control *control)
{
	const struct hvs_manager_machine_ops ops = {
		HVS_MANAGER_MACHINE_OPS_INIT,     .state = state,
		.guest_os_id = guest_os_id,       .vmbus_version = vmbus_version,
		.enable_service = enable_service, .find_net = find_net,
		.devices = list_devices,          .metrics = put_metrics};
	int err = hvs_manager_set_machine(control->manager, &ops, control);

	if (!err)
		err = control_add_disks(control->manager, control->cfg.disks);
	if (!err)
		err = control_add_nets(control->manager, control->cfg.nets);
	if (!err)
		err = control_add_channels(control->manager, control->cfg.capture);
	if (!err)
		err = control_add_backup(control->manager, &control->cfg, &control->backup);
	return err ? report(HVRUN_VMM_ERROR, "--control: %s", strerror(-err)) : 0;
}

/* ---- the server --------------------------------------------------------------------------------- */

static int serve(struct control *control, const struct hvs_role_rule *rules, uint32_t rule_count)
{
	struct hvs_manager_config cfg = {HVS_MANAGER_CONFIG_INIT,
					 .rule_count = rule_count,
					 .rules = rules,
					 .base = control->cfg.base,
					 .socket_path = control->cfg.path,
					 .server = "hvrun " HVRUN_VERSION,
					 .name = control->cfg.name,
					 .uuid = control->cfg.machine_id,
					 .log = on_log};
	int err = hvs_manager_create(&cfg, &control->manager);
	return err ? report(HVRUN_USAGE, "--control %s: %s", cfg.socket_path, strerror(-err)) : 0;
}

int control_create(const struct control_config *cfg, struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));
	struct hvs_role_rule *rules = NULL;
	uint32_t rule_count = 0;
	char why[256];
	int status = 0;

	if (!control)
		return report(HVRUN_VMM_ERROR, "out of memory");
	*out = control;
	control->cfg = *cfg;
	if (cfg->roles &&
	    hvs_role_rules_read(cfg->roles, &rules, &rule_count, why, sizeof(why)) < 0)
		status = report(HVRUN_USAGE, "--control: %s", why);
	if (!status)
		status = serve(control, rules, rule_count);
	free(rules);
	return status ? status : describe_machine(control);
}

struct hvs_manager *control_manager(const struct control *control)
{
	return control ? control->manager : NULL;
}

void control_set_services(struct control *control, struct hvs_services *services)
{
	if (control)
		control->cfg.services = services;
}

void control_end_backup(struct control *control)
{
	if (control)
		hvs_manager_backup_end(control->backup);
}

void control_destroy(struct control *control)
{
	if (!control)
		return;
	hvs_manager_destroy(control->manager);
	hvs_manager_backup_destroy(control->backup);
	free(control);
}
