/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// HTTP clients with restify's interface, and clients of Triton's services built on them.

function RestError(status, body, text) {
    var parsed = body && typeof (body) === 'object' ? body : {};
    var code = parsed.code || STATUS_CODES[status] || 'HttpError';
    var error = new Error(parsed.message || (typeof (body) === 'string' ? body : text) || '');
    error.name = /Error$/.test(code) ? code : code + 'Error';
    error.statusCode = status;
    error.restCode = code;
    error.body = {code: code, message: parsed.message || error.message};
    Object.keys(parsed).forEach(function (member) {
        error.body[member] = parsed[member];
    });
    return error;
}

var STATUS_CODES = {
    400: 'BadRequest', 401: 'Unauthorized', 403: 'Forbidden', 404: 'NotFound', 405: 'MethodNotAllowed', 409: 'Conflict',
    410: 'Gone', 412: 'PreconditionFailed', 413: 'RequestEntityTooLarge', 422: 'UnprocessableEntity',
    429: 'TooManyRequests', 500: 'InternalServer', 501: 'NotImplemented', 502: 'BadGateway', 503: 'ServiceUnavailable',
    504: 'GatewayTimeout'
};

function queryOf(query) {
    return Object.keys(query || {}).filter(function (name) {
        return query[name] !== undefined && query[name] !== null;
    }).map(function (name) {
        return encodeURIComponent(name) + '=' + encodeURIComponent(query[name]);
    }).join('&');
}

// With `json`, request and response bodies are JSON; otherwise they are text.
function createClient(options, json) {
    var given = typeof (options) === 'string' ? {url: options} : options;
    if (!given || typeof (given.url) !== 'string') {
        throw new TypeError('options.url (String) required');
    }

    function call(method, where, body, cb) {
        var place = typeof (where) === 'string' ? {path: where} : where;
        var query = queryOf(place.query);
        var path = query ? place.path + (place.path.indexOf('?') < 0 ? '?' : '&') + query : place.path;
        var headers = {accept: json ? 'application/json' : 'text/plain', 'user-agent': given.userAgent || 'restify/coal'};
        [{'accept-version': given.version || '*'}, given.headers, place.headers].forEach(function (some) {
            Object.keys(some || {}).forEach(function (name) {
                if (some[name] !== undefined && some[name] !== null) {
                    headers[name.toLowerCase()] = String(some[name]);
                }
            });
        });
        var text = null;
        if (body !== undefined && body !== null) {
            text = json ? JSON.stringify(body) : String(body);
            headers['content-type'] = headers['content-type'] || (json ? 'application/json' : 'text/plain');
        }
        var id = nextId(function (answerText) {
            answer(JSON.parse(answerText), method, path, cb);
        });
        var sent = host.request(id, JSON.stringify({
            method: method,
            url: given.url.replace(/\/+$/, '') + path,
            headers: headers,
            body: text,
            timeout: given.requestTimeout || null
        }));
        if (!sent) {
            delete waiting[id];
            throw new Error('too many requests');
        }
    }

    function answer(given, method, path, cb) {
        var request = {method: method, path: path};
        if (given.error) {
            var failure = new Error(given.error.message);
            failure.code = failure.errno = given.error.code;
            cb(failure, request, null, json ? {} : null);
            return;
        }
        var response = {
            statusCode: given.status,
            headers: given.headers,
            body: given.body,
            header: function (name) {
                return given.headers[name.toLowerCase()];
            }
        };
        var object = given.body;
        var err = null;
        if (json) {
            try {
                object = given.body.trim() ? JSON.parse(given.body) : {};
            } catch (e) {
                object = {};
                err = new Error('Invalid JSON in response');
                err.name = 'InvalidContentError';
            }
        }
        if (given.status >= 400) {
            err = RestError(given.status, object, given.body);
        }
        cb(err, request, response, object);
    }

    function without(method) {
        return function (where, cb) {
            call(method, where, null, cb);
        };
    }

    function withBody(method) {
        return function (where, body, cb) {
            if (typeof (body) === 'function') {
                call(method, where, null, body);
            } else {
                call(method, where, body, cb);
            }
        };
    }

    return {
        url: given.url,
        get: without('GET'),
        head: without('HEAD'),
        del: without('DELETE'),
        post: withBody('POST'),
        put: withBody('PUT'),
        patch: withBody('PATCH'),
        close: function () {
            return undefined;
        },
        basicAuth: function () {
            return undefined;
        }
    };
}

function createJsonClient(options) {
    return createClient(options, true);
}

function createStringClient(options) {
    return createClient(options, false);
}

// Separates the optional arguments from the callback, which comes last.
function optional(list) {
    var args = argumentsFrom(list, 0);
    var cb = args.pop();
    return {args: args, cb: cb};
}

// Returns a client class of a service. It has `this.client`, and methods that call back with (err, object, res).
function service(methods) {
    function Client(options) {
        if (!(this instanceof Client)) {
            return new Client(options);
        }
        this.client = createJsonClient(options);
        this.url = this.client.url;
        return this;
    }
    Object.keys(methods).forEach(function (name) {
        Client.prototype[name] = methods[name];
    });
    Client.prototype.close = function () {
        return undefined;
    };
    Client.prototype.ping = function (cb) {
        this.client.get('/ping', ended(cb));
    };
    return Client;
}

function ended(cb) {
    return function (err, req, res, object) {
        if (err) {
            cb(err, null, res);
        } else {
            cb(null, object, res);
        }
    };
}

function imagePath(uuid, rest, query) {
    var text = queryOf(query);
    return '/images/' + uuid + (rest || '') + (text ? '?' + text : '');
}

// Returns a method with the arguments `(uuid[, account[, options]], cb)`, as most methods of IMGAPI's client have them.
function imageCall(method, rest, fixed) {
    return function (uuid) {
        var call = optional(argumentsFrom(arguments, 1));
        var query = Object.assign({}, fixed, {account: call.args[0] || undefined});
        var place = {path: imagePath(uuid, rest, query), headers: (call.args[1] || {}).headers};
        this.client[method](place, ended(call.cb));
    };
}

var IMGAPI = service({
    listImages: function (filters) {
        var call = optional(argumentsFrom(arguments, 1));
        var options = call.args[0] || {};
        this.client.get({path: '/images', query: filters, headers: options.headers}, ended(call.cb));
    },
    getImage: imageCall('get'),
    deleteImage: imageCall('del'),
    activateImage: imageCall('post', '', {action: 'activate'}),
    disableImage: imageCall('post', '', {action: 'disable'}),
    enableImage: imageCall('post', '', {action: 'enable'}),
    updateImage: function (uuid, data) {
        var call = optional(argumentsFrom(arguments, 2));
        var query = {action: 'update', account: call.args[0] || undefined};
        var place = {path: imagePath(uuid, '', query), headers: (call.args[1] || {}).headers};
        this.client.post(place, data, ended(call.cb));
    },
    // Arguments: `(manifest | uuid, options, cb)`. With `options.source`, the manifest is fetched from there.
    adminImportImage: function (manifest, options, cb) {
        var uuid = typeof (manifest) === 'string' ? manifest : manifest.uuid;
        var query = {action: 'import', skip_owner_check: options.skipOwnerCheck || undefined, source: options.source};
        var place = {path: imagePath(uuid, '', query), headers: options.headers};
        this.client.post(place, typeof (manifest) === 'string' ? null : manifest, ended(cb));
    },
    adminImportRemoteImage: function (uuid, source, options, cb) {
        var query = {action: 'import-remote', source: source, skip_owner_check: options.skipOwnerCheck || undefined};
        this.client.post({path: imagePath(uuid, '', query), headers: options.headers}, ended(cb));
    },
    addImageFileFromUrl: function (options) {
        var call = optional(argumentsFrom(arguments, 1));
        var query = {account: call.args[0] || undefined};
        var place = {path: imagePath(options.uuid, '/file/from-url', query), headers: (call.args[1] || {}).headers};
        this.client.post(place, {file_url: options.file_url, compression: options.compression}, ended(call.cb));
    }
});

var VMAPI = service({
    getVm: function (params) {
        var call = optional(argumentsFrom(arguments, 1));
        var place = {path: '/vms/' + params.uuid, headers: (call.args[0] || {}).headers};
        place.query = {owner_uuid: params.owner_uuid};
        this.client.get(place, ended(call.cb));
    },
    listVms: function (params) {
        var call = optional(argumentsFrom(arguments, 1));
        this.client.get({path: '/vms', query: params, headers: (call.args[0] || {}).headers}, ended(call.cb));
    }
});

function fromPath(method, path) {
    return function () {
        var call = optional(arguments);
        var count = (path.match(/%/g) || []).length;
        var names = call.args.splice(0, count);
        var place = {path: path.replace(/%/g, function () {
            return names.shift();
        })};
        var body = method === 'post' ? call.args.shift() || {} : undefined;
        place.headers = (call.args[0] || {}).headers;
        if (method === 'post') {
            this.client.post(place, body, ended(call.cb));
        } else {
            this.client[method](place, ended(call.cb));
        }
    };
}

var CNAPI = service({
    getServer: fromPath('get', '/servers/%'),
    listServers: function (params) {
        var call = optional(argumentsFrom(arguments, 1));
        this.client.get({path: '/servers', query: params, headers: (call.args[0] || {}).headers}, ended(call.cb));
    },
    getVm: fromPath('get', '/servers/%/vms/%'),
    getTask: fromPath('get', '/tasks/%'),
    waitTask: fromPath('get', '/tasks/%/wait'),
    createImage: fromPath('post', '/servers/%/vms/%/images')
});
