// liblinphone without sound or video, as a peer of the tests: registers, publishes and watches.
//
// Arguments: FOLDER OWN-URI SERVER-URI PASSWORD [TARGET]; an empty password stands for none. Prints a line for each thing
// that happens. Lines on standard input: `online`, `busy`, `offline` publish that; `quit` ends in order.
#include <fcntl.h>
#include <linphone/core.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void registered(LinphoneCore *core, LinphoneProxyConfig *account, LinphoneRegistrationState state, const char *message) {
	(void)core, (void)account;
	printf("registration %s %s\n", linphone_registration_state_to_string(state), message);
}

static void seen(LinphoneCore *core, LinphoneFriend *friend) {
	(void)core;
	const LinphonePresenceModel *model = linphone_friend_get_presence_model(friend);
	const LinphoneAddress *address = linphone_friend_get_address(friend);
	char *uri = linphone_address_as_string_uri_only(address);
	int open = model && linphone_presence_model_get_basic_status(model) == LinphonePresenceBasicStatusOpen;
	LinphonePresenceActivity *activity = model ? linphone_presence_model_get_activity(model) : NULL;
	char *what = activity ? linphone_presence_activity_to_string(activity) : NULL;
	printf("seen %s %s %s\n", uri, open ? "open" : "closed", what ? what : "");
	if (what) ms_free(what);
	ms_free(uri);
}

int main(int count, char **arguments) {
	if (count < 5) return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	const char *folder = arguments[1], *own = arguments[2], *server = arguments[3], *password = arguments[4];
	char rc[4096];
	snprintf(rc, sizeof rc, "%s/linphonerc", folder);
	FILE *file = fopen(rc, "w");
	if (!file) return 2;
	fputs("[sip]\nuse_ipv6=0\npublish_presence=1\nbind_address=127.0.0.1\n[sound]\nplayback_dev_id=\n[net]\nmtu=0\n", file);
	fclose(file);
	linphone_logging_service_set_log_level(linphone_logging_service_get(), LinphoneLogLevelFatal);
	LinphoneFactory *factory = linphone_factory_get();
	linphone_factory_set_data_dir(factory, folder);
	linphone_factory_set_config_dir(factory, folder);
	LinphoneCore *core = linphone_factory_create_core_3(factory, rc, NULL, NULL);
	LinphoneCoreCbs *callbacks = linphone_factory_create_core_cbs(factory);
	linphone_core_cbs_set_registration_state_changed(callbacks, registered);
	linphone_core_cbs_set_notify_presence_received(callbacks, seen);
	linphone_core_add_callbacks(core, callbacks);
	LinphoneTransports *transports = linphone_factory_create_transports(factory);
	linphone_transports_set_udp_port(transports, -1);
	linphone_transports_set_tcp_port(transports, -1);
	linphone_transports_set_tls_port(transports, -1);
	linphone_core_set_transports(core, transports);
	linphone_core_start(core);

	LinphoneAddress *address = linphone_factory_create_address(factory, own);
	if (*password) {
		LinphoneAuthInfo *login = linphone_factory_create_auth_info(factory, linphone_address_get_username(address), NULL, password, NULL, NULL, NULL);
		linphone_core_add_auth_info(core, login);
	}
	LinphoneAccountParams *params = linphone_core_create_account_params(core);
	linphone_account_params_set_identity_address(params, address);
	LinphoneAddress *at = linphone_factory_create_address(factory, server);
	linphone_account_params_set_server_address(params, at);
	linphone_account_params_set_routes_addresses(params, bctbx_list_append(NULL, at));
	linphone_account_params_set_register_enabled(params, TRUE);
	linphone_account_params_set_publish_enabled(params, TRUE);
	linphone_account_params_set_expires(params, 600);
	linphone_account_params_set_publish_expires(params, 600);
	LinphoneAccount *account = linphone_core_create_account(core, params);
	linphone_core_add_account(core, account);
	linphone_core_set_default_account(core, account);
	if (count > 5) {
		LinphoneFriend *friend = linphone_core_create_friend_with_address(core, arguments[5]);
		linphone_friend_enable_subscribes(friend, TRUE);
		linphone_friend_set_inc_subscribe_policy(friend, LinphoneSPAccept);
		linphone_friend_list_add_friend(linphone_core_get_default_friend_list(core), friend);
		linphone_friend_done(friend);
	}
	printf("ready\n");

	fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
	char line[256] = "";
	size_t filled = 0;
	for (;;) {
		linphone_core_iterate(core);
		char byte;
		ssize_t got = read(0, &byte, 1);
		if (got == 0) break;
		if (got < 0) {
			usleep(10000);
			continue;
		}
		if (byte != '\n') {
			if (filled + 1 < sizeof line) line[filled++] = byte, line[filled] = 0;
			continue;
		}
		if (!strcmp(line, "quit")) break;
		LinphonePresenceModel *model = NULL;
		if (!strcmp(line, "online")) {
			model = linphone_core_create_presence_model(core);
			linphone_presence_model_set_basic_status(model, LinphonePresenceBasicStatusOpen);
		} else if (!strcmp(line, "busy")) {
			model = linphone_core_create_presence_model_with_activity(core, LinphonePresenceActivityBusy, NULL);
		} else if (!strcmp(line, "offline")) {
			model = linphone_core_create_presence_model(core);
			linphone_presence_model_set_basic_status(model, LinphonePresenceBasicStatusClosed);
		}
		if (model) linphone_core_set_presence_model(core, model);
		filled = 0, line[0] = 0;
	}
	linphone_core_stop(core);
	printf("ended\n");
	return 0;
}
